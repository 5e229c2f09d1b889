"""An `edgevit.toml` to begin with, which says all that may stand in one."""

ROAD = """\
# The whole road: edgevit run goes it, and does again only what has changed. Paths lead from this file's folder.
title = "flowers"

# One of these three is where it begins.
checkpoint = "runs/flowers"             # a checkpoint that is there
# [train]                               # or one that is trained; the settings of edgevit train, with _ for -
# data = "flowers"
# from = "runs/deit-tiny"
# epochs = 10
# [import]                              # or weights of others; the options of edgevit import
# source = "timm/deit_tiny_patch16_224.fb_in1k"

targets = ["executorch", "tflite"]      # edgevit targets lists them; ["all"] for all
recipes = ["fp32", "int8"]              # edgevit recipes lists them; or FILE.toml
# keep_patches = [1.0, 0.5]             # share of the patches that are left after merging
# input = ["tensor"]                    # or "pixels"
# runtimes = ["task-library"]           # in which an artifact must be right too
# calibrate = "flowers"                 # images that recipes may look at; default: those of the training
# calibration_images = 256
# allow_unmeasured = false              # true: what nothing here can make, run or count breaks nothing

# [data]                                # images that answers are compared on; default: those of the checkpoint
# spec = "flowers"
# split = "held-out"
# on_bad_image = "refuse"

[limits]                                # of every artifact; none of them has to be said
size_mb = 25                            # millions of bytes
drop = 1.0                              # points of top-1 below the checkpoint
agreement = 0.97                        # at least: images with the checkpoint's answer, as a share of 1
outside = 0                             # nodes outside the delegate, besides its own call

[limits.executorch-int8]                # of one artifact, TARGET-RECIPE; inf takes a limit back
size_mb = 8

[[device]]
name = "local"                          # or ssh://USER@HOST, ssh://HOST:PORT, adb:SERIAL
threads = 2
# units = ["cpu"]                       # cpu, gpu, npu; default: all that there is for a model
# runs = 100                            # timed runs at the least
# warmup = 10
# launches = 6                          # processes at the least
# most_launches = 20
# narrow = 0.02                         # half width of the interval that is aimed at, as a share of the median
# seconds = 600                         # at the most
# images = 100                          # answered on the device
# sustained = 0                         # seconds of running on, to see it grow hot
# affinity = [0, 1]                     # cores
# seed = 0
# allow_unmeasured = true               # what cannot be measured on this device breaks no limit

[device.limits]                         # of all artifacts on this device; they go before those above
p90_ms = 100
peak_mb = 600
# p50_ms = 80
# energy_mj = 500                       # of one image

[device.limits.tflite-fp32]             # of one artifact on this device
p90_ms = inf
"""

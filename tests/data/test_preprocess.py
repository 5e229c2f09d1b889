"""What a pixel becomes: exact on cases that can be worked out by hand, upright, and the same there and back."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import ExifTags, Image, ImageOps

from edgevit.data import preprocess
from edgevit.data.preprocess import denormalise, normalise, pixels
from edgevit.errors import DamagedFile
from edgevit.types import Preprocess

PLAIN = Preprocess((4, 4), (4, 4))


def _image(pixels: Any) -> Image.Image:
    return Image.fromarray(np.asarray(pixels, np.uint8))


def _numbered(height: int, width: int) -> np.ndarray:
    """Every pixel another colour."""
    numbers = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    return np.stack([numbers, 255 - numbers, numbers // 2], axis=-1)


def test_the_right_size_is_left_alone() -> None:
    array = _numbered(4, 4)
    assert np.array_equal(pixels(_image(array), PLAIN), array)


@pytest.mark.parametrize(
    ("height", "width", "crop", "top", "left"),
    [(4, 7, 4, 0, 1), (7, 4, 4, 1, 0), (4, 6, 4, 0, 1), (5, 5, 4, 0, 0), (5, 8, 2, 1, 3), (5, 9, 2, 1, 3), (6, 6, 1, 2, 2)],
)
def test_the_middle_is_cut_out(height: int, width: int, crop: int, top: int, left: int) -> None:
    """Of an odd margin, the larger part is right and below."""
    array = _numbered(height, width)
    found = pixels(_image(array), Preprocess((min(height, width),) * 2, (crop, crop)))
    assert np.array_equal(found, array[top : top + crop, left : left + crop])


def test_the_short_side_is_resized_and_nothing_is_squeezed() -> None:
    """Nearest neighbours of a doubled image are its own pixels, twice."""
    array = _numbered(4, 6)
    found = pixels(_image(array), Preprocess((8, 8), (8, 8), "nearest"))
    assert np.array_equal(found, array.repeat(2, 0).repeat(2, 1)[:, 2:10])


@pytest.mark.parametrize(("name", "how"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)])
def test_interpolation_is_pillow_s_with_antialiasing(name: str, how: Image.Resampling) -> None:
    image = _image(np.random.default_rng(0).integers(0, 256, (24, 30, 3)))
    expected = np.asarray(image.resize((22, 18), how))[1:17, 3:19]
    assert np.array_equal(pixels(image, Preprocess((18, 18), (16, 16), name)), expected)


def test_bilinear_halving_is_worked_out_by_hand() -> None:
    """Antialiased, a triangle two pixels wide: weights 3/8, 3/8, 1/8 of the neighbours, at the margin 3/7, 3/7, 1/7."""
    row = [0, 70, 140, 210]
    found = pixels(_image([[[v] * 3 for v in row]] * 4), Preprocess((2, 2), (2, 2), "bilinear"))
    assert found[0, :, 0].tolist() == [round((3 * 0 + 3 * 70 + 140) / 7), round((70 + 3 * 140 + 3 * 210) / 7)]


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 0), (100, 100, 100)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 4), (1, 2, 3)),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(mode: str, colour: Any, rgb: tuple[int, int, int]) -> None:
    found = pixels(Image.new(mode, (5, 5), colour), PLAIN)
    assert found.shape == (4, 4, 3) and found.dtype == np.uint8 and (found == rgb).all()


def _with_exif(image: Image.Image, orientation: Any, form: str = "JPEG") -> Image.Image:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.ImageDescription] = "a description"
    buffer = io.BytesIO()
    image.save(buffer, form, exif=exif, **({"quality": 100, "subsampling": 0} if form == "JPEG" else {"lossless": True}))
    return Image.open(buffer)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_image_is_made_upright(orientation: int, form: str) -> None:
    image = _with_exif(_image(np.random.default_rng(0).integers(0, 256, (6, 9, 3))), orientation, form)
    upright = ImageOps.exif_transpose(image)
    assert (upright.size == image.size) == (orientation <= 4)
    assert np.array_equal(pixels(image, PLAIN), pixels(upright, PLAIN))


def test_all_eight_orientations_differ() -> None:
    seen = {pixels(_with_exif(_image(_numbered(4, 4)), n, "PNG"), PLAIN).tobytes() for n in range(1, 9)}
    assert len(seen) == 8


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_is_none(orientation: int) -> None:
    array = _numbered(4, 4)
    assert np.array_equal(pixels(_with_exif(_image(array), orientation, "PNG"), PLAIN), array)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_data_stops_nothing() -> None:
    """Cameras and apps write such; every viewer shows the image. A header of no TIFF, and two hundred other damages."""
    array, damage = _numbered(4, 4), random.Random(0)
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription], exif[ExifTags.Base.XResolution] = "a description", 72.0
    whole = exif.tobytes()
    for _ in range(200):
        changed = bytearray(whole)
        changed[damage.randrange(6, len(whole))] = damage.randrange(256)
        buffer = io.BytesIO()
        _image(array).save(buffer, "WEBP", exif=bytes(changed), lossless=True)
        assert sorted(pixels(Image.open(buffer), PLAIN).ravel()) == sorted(array.ravel())
    buffer = io.BytesIO()
    _image(array).save(buffer, "WEBP", exif=b"Exif\0\0nonsense", lossless=True)
    assert np.array_equal(pixels(Image.open(buffer), PLAIN), array)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 1000)])
def test_tiny_and_thin_images(size: tuple[int, int]) -> None:
    assert pixels(Image.new("RGB", size, (10, 20, 30)), Preprocess((18, 18), (16, 16))).tolist() == [[[10, 20, 30]] * 16] * 16


def test_a_strip_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(DamagedFile, match="60000 x 1 pixels are too long and thin"):
        pixels(Image.new("L", (60_000, 1)), Preprocess((256, 256), (224, 224)))


@given(width=some.integers(1, 60), height=some.integers(1, 60), crop=some.integers(1, 20), more=some.integers(0, 5))
def test_any_size_gives_the_crop(width: int, height: int, crop: int, more: int) -> None:
    assert (
        pixels(Image.new("L", (width, height), 7), Preprocess((crop + more,) * 2, (crop, crop))).tolist()
        == [[[7] * 3] * crop] * crop
    )


def test_normalised_by_hand() -> None:
    record = replace(PLAIN, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    batch = np.array([[[[255, 255, 255], [0, 0, 0]], [[51, 51, 51], [102, 102, 102]]]], np.uint8)
    found = normalise(batch, record)
    assert found.shape == (1, 3, 2, 2) and found.dtype == np.float32 and found.flags.c_contiguous
    assert found[0, 0].ravel().tolist() == pytest.approx([1, 0, 0.2, 0.4])
    assert found[0, 1].ravel().tolist() == pytest.approx([1, -1, -0.6, -0.2])
    assert found[0, 2].ravel().tolist() == pytest.approx([0, -4, -3.2, -2.4])


Three = some.tuples(*[some.floats(0, 1)] * 3), some.tuples(*[some.floats(0.05, 2)] * 3)


@given(*Three)
def test_every_pixel_comes_back_from_any_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    record = replace(PLAIN, mean=mean, std=std)
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    assert np.array_equal(denormalise(normalise(every, record), record), every)


def test_what_is_beyond_a_pixel_is_clipped_to_be_looked_at() -> None:
    batch = np.array([9.0, -9.0, 0.0], np.float32).reshape(1, 3, 1, 1)
    assert denormalise(batch, PLAIN).ravel().tolist() == [255, 0, 128]


def test_the_default_keeps_drawings_whole_and_trims_photos() -> None:
    assert preprocess.default((32, 32), photos=False) == Preprocess((32, 32), (32, 32), "bilinear")
    assert preprocess.default((224, 224), photos=True) == Preprocess((256, 256), (224, 224), "bicubic")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop", (0, 4)),
        ("crop", (4, 5)),
        ("resize", (4, 1 << 15)),
        ("interpolation", "hamming"),
        ("aspect", "stretch"),
        ("mean", (float("nan"), 0, 0)),
        ("std", (1, 0, 1)),
        ("std", (1, 1, float("inf"))),
        ("channels", "BGR"),
    ],
)
def test_a_record_that_cannot_be_meant_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field.removesuffix("s")):
        replace(PLAIN, **{field: value})


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (20, 20), (7, 21), (33, 50)])
def test_a_rectangle_is_just_covered(size: tuple[int, int]) -> None:
    """(width, height) of the image; the side that is not decisive is cut to whole pixels, as torchvision has it."""
    found = preprocess._resized((size[1], size[0]), Preprocess((32, 32), (32, 32)))
    assert min(found) == 32 and found[0] / found[1] == pytest.approx(size[1] / size[0], rel=0.05)
    oblong = preprocess._resized((size[1], size[0]), Preprocess((16, 32), (16, 32)))
    assert oblong[0] >= 16 and oblong[1] >= 32 and (oblong[0] == 16 or oblong[1] == 32)


def test_squashed_images_lose_their_shape_and_nothing_else() -> None:
    image = _image([[[0] * 3, [255] * 3, [255] * 3, [0] * 3]] * 2)
    found = pixels(image, Preprocess((2, 2), (2, 2), "bilinear", aspect="squash"))
    assert found.shape == (2, 2, 3) and 100 < found[0, 0, 0] == found[0, 1, 0] < 160


def test_another_size_keeps_the_margins_share() -> None:
    steps = Preprocess((256, 256), (224, 224), "bicubic", (0.1, 0.2, 0.3))
    assert preprocess.at_size(steps, (336, 448)) == Preprocess((384, 512), (336, 448), "bicubic", (0.1, 0.2, 0.3))
    assert preprocess.at_size(steps, (224, 224)) is steps

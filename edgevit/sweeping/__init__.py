"""Searching settings of a training: between what (`space`), which point next and what came out (`book`: `alone`, `shared`).

`shared` is the seam to Optuna: a study in a database or a journal, at which several processes and machines can be at work.
"""

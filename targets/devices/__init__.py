"""Devices that models are measured on: one file each, imported when used."""

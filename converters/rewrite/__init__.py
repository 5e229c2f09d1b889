"""The exact re-authoring of a ViT into the form that a back end takes whole: the same function, in other words."""

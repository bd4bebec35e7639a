"""Pictures: from bytes to a model's input, and from a model's output to bytes. NumPy and Pillow, no torch, no HTTP."""

from app.images.drawing import contact_sheet, png, sheet_size
from app.images.fitting import Fit, fit_image
from app.images.ink import Polarity
from app.images.reading import ImageError, ImageTooLargeError, Picture, Pixels, read_image

__all__ = [
    "Fit",
    "ImageError",
    "ImageTooLargeError",
    "Picture",
    "Pixels",
    "Polarity",
    "contact_sheet",
    "fit_image",
    "png",
    "read_image",
    "sheet_size",
]

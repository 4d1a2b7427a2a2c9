"""The objects' pictures, from the font Noto Color Emoji."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from photoguard_eval.errors import PhotoguardError
from photoguard_eval.files import sha256_of_file
from recipes.emoji_scenes.vocabulary import OBJECTS

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
"""Where Debian's package puts the font."""

FONT_SHA256 = "e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec"
"""The font that the published dataset was drawn with: version 2.042 of Debian 12."""

FONT_SIZE = 109
"""The only size that the font has bitmaps for."""

Glyph = NDArray[np.float32]
"""Side × side × RGBA in [0, 1], colours not multiplied by opacity."""

Glyphs = Callable[[str, int], Glyph]
"""Gives the picture of an object, by its name and its side in pixels."""


class MissingFontError(PhotoguardError):
    """The emoji font is not installed."""


class EmojiFont:
    """Draws objects by their emoji.

    Attributes:
        is_the_published_one: Whether the font file is the one that the published dataset was drawn with.
    """

    def __init__(self, path: Path = FONT) -> None:
        """Open the font.

        Args:
            path: The file of Noto Color Emoji.

        Raises:
            MissingFontError: If there is no such file, or it is no font of colour bitmaps.
        """
        if not path.is_file():
            raise MissingFontError(
                f"There is no emoji font {path}. Install Debian's package fonts-noto-color-emoji, or give the path of "
                "NotoColorEmoji.ttf with --font."
            )
        try:
            self._face = ImageFont.truetype(str(path), FONT_SIZE)
        except OSError as error:
            raise MissingFontError(
                f"{path} cannot be read as Noto Color Emoji ({error}). Give the file of Debian's package "
                "fonts-noto-color-emoji."
            ) from error
        self.is_the_published_one = sha256_of_file(path) == FONT_SHA256
        self._originals: dict[str, Image.Image] = {}
        self._scaled: dict[tuple[str, int], Glyph] = {}

    def __call__(self, name: str, side: int) -> Glyph:
        """Draw an object into a square that it touches on two opposite sides.

        Args:
            name: One of `vocabulary.OBJECTS`.
            side: Pixels a side.
        """
        if name not in self._originals:
            self._originals[name] = self._draw(OBJECTS[name])
        if (name, side) not in self._scaled:
            scaled = self._originals[name].resize((side, side), Image.Resampling.LANCZOS)
            self._scaled[name, side] = np.asarray(scaled, np.float32) / np.float32(255)
        return self._scaled[name, side]

    def _draw(self, emoji: str) -> Image.Image:
        sheet = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
        ImageDraw.Draw(sheet).text((12, 12), emoji, font=self._face, embedded_color=True)
        glyph = sheet.crop(sheet.getbbox())
        side = max(glyph.size)
        square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        square.paste(glyph, ((side - glyph.width) // 2, (side - glyph.height) // 2))
        return square

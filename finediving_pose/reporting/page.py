"""HTML pages that can be sent as one file: text, tables and images, nothing loaded from
elsewhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose import __version__
from finediving_pose.files import write_text
from finediving_pose.media import encode_jpeg

TEMPLATES = Path(__file__).with_name("templates")
_SIGNED_OR_DECIMAL = re.compile(r"[+−-]\d+|[+−-]?\d+\.\d+")


@dataclass
class Section:
    """One part of a page, under a heading; its blocks stand in the order they were
    added."""

    title: str
    blocks: list[dict[str, Any]] = field(default_factory=list)

    def add_text(self, text: str) -> None:
        """Add a paragraph."""
        self.blocks.append({"kind": "text", "text": text})

    def add_table(
        self, header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = ""
    ) -> None:
        """Add a table; numbers are set to the right, floats with three digits, None as
        a dash.

        Text that is a number with a sign or a point, such as ``+1.20``, is set to the
        right too, as it stands.

        Args:
            header: The columns' names.
            rows: A value for each column.
            caption: Stands above the table; empty for none.
        """
        cells = []
        for row in rows:
            cells.append([_format_cell(value) for value in row])
        self.blocks.append(
            {"kind": "table", "header": list(header), "rows": cells, "caption": caption}
        )

    def add_image(self, image: NDArray[np.uint8], caption: str) -> None:
        """Add an image.

        Args:
            image: (H, W, 3) uint8 BGR.
            caption: Also read out to people who cannot see the image.
        """
        self._embed("jpeg", encode_jpeg(image, 88), caption, image.shape[1])

    def add_plot(self, png: bytes, caption: str, width: int = 720) -> None:
        """Add a drawing.

        Args:
            png: The content of a PNG file.
            caption: Also read out to people who cannot see the drawing.
            width: px that it is wide at most.
        """
        self._embed("png", png, caption, width)

    def _embed(self, kind: str, content: bytes, caption: str, width: int) -> None:
        data = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        self.blocks.append(
            {"kind": "image", "data": data, "caption": caption, "width": width}
        )


@dataclass
class Page:
    """A page with a banner that says what is synthetic.

    Attributes:
        title: The heading.
        notice: Shown at the top and kept in view, such as that nothing on the page is
            real; empty for none.
        sections: In order.
    """

    title: str
    notice: str = ""
    sections: list[Section] = field(default_factory=list)

    def add_section(self, title: str) -> Section:
        """Add a section and return it."""
        self.sections.append(Section(title))
        return self.sections[-1]

    def render(self) -> str:
        """Return the page; all text is escaped."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        return environment.get_template("page.html").render(
            page=self, version=__version__
        )

    def write(self, path: Path) -> None:
        """Write the page atomically."""
        write_text(path, self.render())


def _format_cell(value: object) -> dict[str, Any]:
    """Return a cell's text, and whether it is set to the right as a number."""
    if value is None:
        return {"text": "–", "number": True}
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        text = str(value)
        return {"text": text, "number": bool(_SIGNED_OR_DECIMAL.fullmatch(text))}
    if isinstance(value, int | np.integer):
        return {"text": f"{value:,}", "number": True}
    return {"text": "–" if np.isnan(value) else f"{value:.3f}", "number": True}

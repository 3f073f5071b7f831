"""What our files of weights say of themselves, checked: they may be anybody's."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from enhancement.errors import UserError


class Best(TypedDict):
    """The validation score by which a checkpoint was chosen."""

    metric: str
    value: float
    protocol: str
    dataset: str
    images: NotRequired[str]  # a digest of their names
    iteration: int
    on_test_set: bool


class Frozen(TypedDict):
    """A part that was not trained: its file, and the hash of its weights."""

    file: str
    sha256: str


class Meta(TypedDict, total=False):
    """The entry `meta` of a weights file, as training writes it."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]

    network_g: dict[str, Any] | None
    name: str
    iteration: int
    commit: str
    protocol: str | None
    best: Best | None
    frozen: dict[str, Frozen]
    selected: Literal["best"] | None


_META = TypeAdapter(Meta)


def checked_meta(meta: Any, where: object) -> dict[str, Any]:
    """The metadata itself; {} where there is none.

    Args:
        meta: Out of a file.
        where: The file, for the error.

    Raises:
        UserError: An entry is of another kind than training writes.
    """
    if meta is None:
        return {}
    try:
        _META.validate_python(meta)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(map(str, ("meta", *first["loc"])))
        raise UserError(
            f"{where}: its metadata is not as training writes it ({at}: {first['msg']})"
        ) from error
    return dict(meta)

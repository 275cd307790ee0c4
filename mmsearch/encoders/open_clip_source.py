"""From an encoder's name to an open_clip model, its tokenizer and its configuration; all that may go wrong there.

Names::

    ARCH/TAG            a model of open_clip's list: ViT-B-32/laion2b_s34b_b79k
    hf-hub:ORG/REPO     a model of the Hugging Face hub in open_clip's layout
    local-dir:PATH      a folder with open_clip_config.json and the weights
    ARCH@FILE           a checkpoint of a known architecture: ViT-B-32@runs/7/epoch_3.pt

A checkpoint file says neither how pictures are prepared nor whether the activation is quick GELU. The architecture
decides both: the preprocessing is the one that all its published weights share, else that of OpenAI's CLIP, with a
warning. Weights of OpenAI, DFN or MetaCLIP want an architecture that ends in ``-quickgelu``. ``local-dir:`` leaves
nothing to guess.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsearch.errors import EncoderError, MissingPackage

logger = logging.getLogger(__name__)

_LOCAL_DIR = "local-dir:"
_HUB = "hf-hub:"
_PROBE_TIMEOUT_S = 5
_SEE_LIST = "the command `mmsearch encoders` lists what is known"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from."""

    name: str
    """As the user gave it, with local paths made absolute: it must load from any working folder."""
    model_name: str
    pretrained: str | None
    """Tag or file; None where ``model_name`` says it all."""
    preprocessing: dict[str, Any]
    """Given to open_clip over its own choice."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What open_clip gave, on the CPU in float32."""

    source: Source
    model: Any
    tokenizer: Any
    config: dict[str, Any]


def import_open_clip() -> Any:
    """The module open_clip.

    Raises:
        MissingPackage: it, or a package that it needs, is not installed.
        EncoderError: it is installed but cannot be imported.
    """
    try:
        import open_clip
    except ModuleNotFoundError as err:
        raise MissingPackage(err.name or "open_clip", "cpu") from err
    except (ImportError, RuntimeError) as err:
        if "torchvision" not in str(err):
            raise EncoderError(f"open_clip cannot be imported: {_first_line(err)}") from err
        import torch

        raise EncoderError(
            f"torchvision does not fit torch {torch.__version__} ({_first_line(err)}); install a pair from one "
            "place: python -m pip install --force-reinstall torch torchvision"
        ) from err
    return open_clip


def parse_name(name: str) -> Source:
    """Find out what a name means; nothing is downloaded.

    Raises:
        EncoderError: it names nothing that is known, or weights that do not fit the architecture.
        MissingPackage: open_clip is not installed.
    """
    if name.startswith(_LOCAL_DIR):
        folder = Path(name.removeprefix(_LOCAL_DIR)).expanduser().absolute()
        if not folder.is_dir():
            raise EncoderError(f"{folder} is no folder; local-dir: wants one with open_clip_config.json and weights")
        return Source(f"{_LOCAL_DIR}{folder}", f"{_LOCAL_DIR}{folder}", None, {})
    if name.startswith(_HUB):
        return Source(name, name, None, {})
    if "@" in name:
        return _checkpoint(*name.split("@", 1))
    return _published(name)


def load_model(name: str) -> LoadedModel:
    """Load by name: from this machine where everything is here, else from the hub.

    Raises:
        EncoderError: nothing of that name, no weights, damaged weights, or a hub that cannot be reached.
        MissingPackage: open_clip is not installed.
    """
    open_clip = import_open_clip()
    source = parse_name(name)
    with _quiet():
        try:
            # What is in the hub's cache needs no network; without this, each load asks the hub, and where there
            # is none retries for 46 seconds.
            with _hub_offline():
                return _create(open_clip, source)
        except Exception as err:  # open_clip, torch, safetensors and transformers share no narrower base
            if source.model_name.startswith(_LOCAL_DIR) or "@" in source.name:
                raise _explain(err, source) from err
            _require_hub(source)
        try:
            return _create(open_clip, source)
        except Exception as err:  # as above
            raise _explain(err, source) from err


def _published(name: str) -> Source:
    architecture, _, tag = name.rpartition("/")
    if not architecture:
        architecture, tag = tag, ""
    open_clip = import_open_clip()
    _check_architecture(open_clip, architecture)
    config = open_clip.get_model_config(architecture)
    published = {
        t: open_clip.get_pretrained_cfg(architecture, t) for t in open_clip.list_pretrained_tags_by_model(architecture)
    }
    fitting = [t for t, weights in published.items() if _is_quick_gelu(weights) == _is_quick_gelu(config)]
    if not tag:
        raise EncoderError(f"{name} is an architecture without weights; " + _choices(architecture, fitting))
    if tag not in published:
        near = difflib.get_close_matches(tag, fitting, n=3, cutoff=0.5) or fitting
        raise EncoderError(f"{architecture} has no published weights {tag!r}; " + _choices(architecture, near))
    if tag not in fitting:
        # open_clip only warns, and the embeddings are a little wrong everywhere.
        is_quick = _is_quick_gelu(config)
        other = architecture.removesuffix("-quickgelu") if is_quick else f"{architecture}-quickgelu"
        raise EncoderError(
            f"the weights {tag!r} were trained with another activation than {architecture} has; use {other}/{tag}"
        )
    return Source(name, architecture, tag, {})


def _checkpoint(architecture: str, file: str) -> Source:
    open_clip = import_open_clip()
    _check_architecture(open_clip, architecture)
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise EncoderError(f"{path} is no file; ARCH@FILE wants a checkpoint of {architecture}")
    return Source(f"{architecture}@{path}", architecture, str(path), _shared_preprocessing(open_clip, architecture))


def _shared_preprocessing(open_clip: Any, architecture: str) -> dict[str, Any]:
    """The preprocessing of all published weights of an architecture, as arguments for open_clip."""
    names = ("mean", "std", "interpolation", "resize_mode")
    configs = [
        open_clip.get_pretrained_cfg(architecture, tag) for tag in open_clip.list_pretrained_tags_by_model(architecture)
    ]
    shared = {f"image_{name}": configs[0].get(name) for name in names} if configs else {}
    if not configs or any(config.get(name) != shared[f"image_{name}"] for config in configs for name in names):
        logger.warning(
            "a checkpoint of %s does not say how pictures are prepared; OpenAI CLIP's way is taken. "
            "A folder with open_clip_config.json (local-dir:) would say it",
            architecture,
        )
        return {}
    return shared


def _check_architecture(open_clip: Any, architecture: str) -> None:
    known = open_clip.list_models()
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=3, cutoff=0.5)
        said = f"; did you mean {' or '.join(near)}?" if near else ";"
        raise EncoderError(f"there is no encoder {architecture!r}{said} {_SEE_LIST}")


def _choices(architecture: str, tags: list[str]) -> str:
    names = [f"{architecture}/{tag}" for tag in tags] or [f"{architecture}@FILE with a checkpoint of your own"]
    return f"use {' or '.join(names)}; {_SEE_LIST}"


def _is_quick_gelu(config: dict[str, Any]) -> bool:
    return bool(config.get("quick_gelu", False))


def _create(open_clip: Any, source: Source) -> LoadedModel:
    config = open_clip.get_model_config(source.model_name)
    tokenizer = open_clip.get_tokenizer(source.model_name)
    model = open_clip.create_model_from_pretrained(
        source.model_name, source.pretrained, device="cpu", return_transform=False, **source.preprocessing
    )
    return LoadedModel(source, model, tokenizer, config)


def _explain(err: Exception, source: Source) -> EncoderError:
    if isinstance(err, ModuleNotFoundError):
        return EncoderError(f"{source.name} needs {err.name}; install it with: python -m pip install {err.name}")
    if "Required pretrained weights" in str(err):
        return EncoderError(f"{source.name} has no weights, and random ones find nothing; add the weights file")
    return EncoderError(f"{source.name} cannot be loaded: {_first_line(err)}")


def _first_line(err: Exception) -> str:
    lines = str(err).strip().splitlines() or [type(err).__name__]
    # torch puts the reason on the second line: "Error(s) in loading state_dict for CLIP:".
    return " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])[:300]


def _require_hub(source: Source) -> None:
    """Ask the hub once, with a short patience; its own client would try for most of a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    try:
        get_session().head(constants.ENDPOINT, timeout=_PROBE_TIMEOUT_S)
    except Exception as err:  # the HTTP library behind it differs from version to version
        raise EncoderError(
            f"{source.name} is not on this machine, and {constants.ENDPOINT} cannot be reached "
            f"({_first_line(err)}); connect, or use the bundled encoder mini, which works offline"
        ) from err


@contextmanager
def _hub_offline() -> Iterator[None]:
    """Let the hub's client look at its cache only."""
    from huggingface_hub import constants, utils

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        # Below version 1 the client keeps sessions, and one made offline stays so.
        getattr(utils, "reset_sessions", lambda: None)()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from the root logger, where it says what our errors say better, and sets up a handler."""

    def is_not_open_clip(record: logging.LogRecord) -> bool:
        return "open_clip" not in Path(record.pathname).parts

    root = logging.getLogger()
    handler = logging.NullHandler()
    root.addFilter(is_not_open_clip)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.removeFilter(is_not_open_clip)

"""mmsearch verify"""

from __future__ import annotations

from mmsearch_cli.console import HERE, CollectionOption, Exit, errors_to_exit_code, say


def verify(collection: CollectionOption = HERE) -> None:
    """Read every byte of a collection and name what is damaged or missing.

    Example: mmsearch verify -c ~/Pictures
    """
    with errors_to_exit_code():
        import mmsearch

        path = mmsearch.find(collection)
        damages = mmsearch.verify(path)
        for damage in damages:
            print(damage.message)
    if damages:
        if all(damage.path.is_relative_to(path / "indexes") for damage in damages):
            say(f"{len(damages)} damaged; no item is lost, and `mmsearch build` makes the index anew")
        else:
            say(f"{len(damages)} damaged; `mmsearch repair` sets them aside, then `mmsearch index` fills the gaps")
        raise SystemExit(Exit.DAMAGE)
    say(f"{path}: sound")

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
        say(
            f"{len(damages)} damaged; `mmsearch repair` sets damaged shards aside, then `mmsearch index` fills the gaps"
        )
        raise SystemExit(Exit.DAMAGE)
    say(f"{path}: sound")

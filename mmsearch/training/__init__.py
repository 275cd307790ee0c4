"""Contrastive training; needs the packages of the extra ``train``, so its modules are imported one by one.

``python -m mmsearch.training.mini`` trains and exports the bundled encoder.
"""

"""python -m mmsearch_cli"""

from mmsearch_cli.main import main

main()

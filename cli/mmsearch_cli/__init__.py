"""The mmsearch command: parse, call one library function, render."""

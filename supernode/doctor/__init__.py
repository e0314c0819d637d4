"""``supernode doctor``: finds what usually goes wrong where a supernode runs, and says what to do.

It changes nothing. Each check looks at one thing, as the supernode itself would meet it.
"""

"""The screen: a run as it happens, or a kept one, over the journal that both leave.

It never imports ptrace: the tracer is another process, and what it says is read from the journal. View models
(what is shown) are pure and lie beside the widgets (how it is drawn).
"""

"""vmvc: virtual machine versus container, as declarative experiments on real engines.

Reading order for a newcomer: ``spec`` (what a file may say), ``contract`` (what a plug-in is), ``plan``
(what will run), ``trial`` (how one life of an instance runs), ``runner`` (the loop), ``journal`` and
``results`` (what is kept), ``claims`` (what it says), ``cli`` (the commands).
"""

__version__ = "0.1.0"

"""The protocol of Dragonfly v1's dfget 1.0, another face of the same tracker.

A download as its client sees it::

    POST /peer/registry         200: the task, the file's length and piece size
    GET  /peer/task             601: fetch these pieces; 602: there are none yet; 600: that was all
    GET  /peer/piece/suc        611: a piece is written, others can have it from here
    GET  /peer/piece/error      200: a holder did not give a piece
    POST /task/metrics          1: how the download went
    GET  /peer/service/down     612: what was downloaded is offered no longer

Answers are ``{"code", "data", "msg"}`` with HTTP's 200; ``codes`` has the codes. Only a request
that cannot be read at all is HTTP's 400. Everything is also behind ``/v{x.y}``.

What the clients out there, from 1.0.0 to 1.0.6, need, and where it is seen to:

* An answer in less than five seconds, whatever the origin does: ``registration`` and ``pulls`` wait
  no longer than they say. What a registration has said about the cut stays so.
* 601 never without pieces: a client that has none in flight would never ask again.
* 602 as late as possible: after each one a client sleeps longer.
* Any other code has a client go to the origin itself. So a piece that we know nothing of, a word
  said twice, late or in the wrong order is no error.
* Of several pieces that it turns out to have already, as after a restart that has forgotten them, a
  client reports only one. So it is asked again for those that it is overdue with.
* 600 always with the digest, or ``""`` for none, and the length.
* The supernode's own pieces under the address by which that client reaches it: ``addresses``.
* Names of holders of no less than 25 characters: ``names``.
"""

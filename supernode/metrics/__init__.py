"""Metrics for Prometheus: Dragonfly v1's under its names, with its labels and buckets, and ours.

Counters come from the events as they happen, gauges from the tracker when somebody looks. All is
kept in plain numbers, so that an event or a request costs about a microsecond; the text is made
when it is asked for. What clients choose freely can be a label's value, but only so many of them.
"""

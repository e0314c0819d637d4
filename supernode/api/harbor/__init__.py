"""What Harbor asks of its other preheat providers: Dragonfly 2's jobs, Kraken's notifications.

Up to 2.11 its provider "dragonfly" speaks ``/preheats``; from 2.12 on ``/healthy`` and
``/oapi/v1/jobs``. The provider "kraken", and registries themselves, speak ``/health`` and
``/registry/notifications``. The credentials it sends for us, in any of its four ways, are ignored.
"""

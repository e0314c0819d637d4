"""The wire: accepting connections, parsing requests, moving bytes."""

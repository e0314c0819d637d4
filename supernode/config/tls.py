"""The control port's TLS, as configured."""

import ssl

from supernode.config.errors import Unusable
from supernode.config.settings import Http


def server_context(http: Http) -> ssl.SSLContext | None:
    """Return how to serve under TLS 1.2 or later, HTTP/2 or HTTP/1.1; None: it is not configured.

    Raises:
        Unusable: certificate or key is missing, cannot be read, or they do not belong together.
    """
    cert, key = http.tls_cert, http.tls_key
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise Unusable("tls_cert and tls_key need each other", "http.tls_cert", "http.tls_key")
    for setting, path in (("http.tls_cert", cert), ("http.tls_key", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise Unusable(f"{path}: {error.strerror}", setting) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert)
    except ssl.SSLError:
        raise Unusable(f"{cert} has no certificate in PEM", "http.tls_cert") from None
    try:
        # Unless a password is given, if only an empty one, the terminal is asked for it.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        problem = f"{key} has no key in PEM that needs no password"
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"{key} is not the key of {cert}"
        raise Unusable(problem, "http.tls_key") from None
    return context

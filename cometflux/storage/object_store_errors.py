"""Why an object store refuses, in words of ours.

What obstore says holds whole answers, some with the id of a key, and addresses, some with a password. Of that only
codes, numbers and what is known here are taken over.
"""

import re

_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "set GOOGLE_SERVICE_ACCOUNT to the path of a service account's key file",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_REGION = "the bucket is in another region; set AWS_REGION"
_KNOWN = (
    # Where a machine in the cloud is asked for the credentials that it was lent.
    (r"169\.254\.|/latest/api/token|/computeMetadata/|/metadata/identity/", "no credentials were found; {credentials}"),
    (r"Account must be specified|MissingAccount", "the account is not known; {credentials}"),
    (r"NoSuchBucket|ContainerNotFound|The specified bucket does not exist", "there is no such bucket"),
    (
        r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint|incorrectly configured region",
        _REGION,
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|AuthenticationFailed",
        "the credentials are rejected",
    ),
    (r"RequestTimeTooSkewed", "the clock of this machine is wrong"),
    (r"URL scheme is not allowed|BadScheme", "its endpoint is plain http; to allow that, set {prefix}_ALLOW_HTTP=true"),
    (r"failed to lookup address|dns error", "the name of its host is not known"),
    (r"Connection refused|ConnectionRefused", "nobody listens at its endpoint"),
    (r"TimedOut|timed out", "the store did not answer in time"),
    (
        r"builder error|InvalidUri|RelativeUrlWithoutBase|RustPanic",
        "its endpoint is not an address; one begins with https://",
    ),
    (r"[Pp]arse|Invalid|invalid", "a setting is unusable; look at the variables {prefix}_…"),
)
_PREFIXES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")


def words_of(error: BaseException, scheme: str) -> str:
    """Say what is wrong without anything that could be secret."""
    text = f"{type(error).__name__}: {error}"
    status, code = _STATUS.search(text), _CODE.search(text)
    for pattern, words in _KNOWN:
        if (status is None or words is not _KNOWN[-1][1]) and re.search(pattern, text):
            return words.format(credentials=_CREDENTIALS[scheme], prefix=_PREFIXES[scheme])
    name = type(error).__name__
    if name in ("PermissionDeniedError", "UnauthenticatedError"):
        return "access is denied; permission is needed to put, get and list objects"
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket"
    if isinstance(error, TypeError):
        return "an option is not one of obstore's"
    if status is None:
        return f"the connection broke ({name})" if "error sending request" in text else name
    return f"it answered {' '.join(filter(None, [status[1], code and code[1]]))}"


def is_passing(error: BaseException) -> bool:
    """Whether it may be otherwise the next time; a refusal stays one."""
    return re.search(r"error sending request|TimedOut|IncompleteMessage|Connection", str(error)) is not None

"""An example of each error that the service answers, for the document."""

from tailfuse_service import errors
from tailfuse_service.errors import ServiceError

UNAUTHORIZED = errors.Unauthorized(
    "missing key; send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'", expected="a key"
)
TOO_MANY_REQUESTS = errors.TooManyRequests("1024 requests are in flight; try again soon", retry_after_s=1)
NOT_READY = errors.NotReady("no bundle is loaded")

# An example for each error that POST /predict may be answered with.
PREDICT_ERRORS: list[ServiceError] = [
    errors.BadRequest("the body is not JSON: unexpected end of data: line 1 column 12 (char 11)"),
    errors.TooDeep("the body has arrays and objects more than 32 deep", expected=32),
    errors.TooManyValues(
        "the body has 800,000 values, at most 500,000 are taken; a member of an object counts as 4. "
        "Send fewer items at once, or long arrays as binary data", expected=500_000, received=800_000,
    ),
    errors.TooManyParts("the form has more than 100 parts", expected=100),
    UNAUTHORIZED,
    errors.ReceiveTimeout("the request did not arrive within 60 s", expected=60),
    errors.PayloadTooLarge("the body is longer than 16777216 bytes", expected=16777216),
    errors.UnsupportedMediaType(
        "the content type is 'text/csv'; application/json or multipart/form-data was expected",
        expected=["application/json", "multipart/form-data"], received="text/csv",
    ),
    errors.InvalidInput(
        "modality 'clinical', column 'age': expected a finite number or null, not \"old\"",
        modality="clinical", column="age", expected="a finite number or null", received='"old"',
    ),
    errors.UnknownColumn(
        "modality 'clinical' has no column 'ages'",
        modality="clinical", column="ages", expected=["age", "site"],
    ),
    errors.NotFinite(
        "modality 'clinical', column 'age': expected a finite number or null, not NaN",
        modality="clinical", column="age", expected="a finite number or null", received="NaN",
    ),
    errors.UndecodableImage(
        "modality 'image': the bytes are not an image that can be read",
        modality="image", expected="an image",
    ),
    errors.TooManyPixels(
        "modality 'image': 50000 x 50000 pixels, at most 50,000,000 are taken",
        modality="image", expected=50_000_000, received=2_500_000_000,
    ),
    errors.TextTooLong(
        "modality 'notes': 1,500,000 characters, at most 1,000,000 are taken",
        modality="notes", expected=1_000_000, received=1_500_000,
    ),
    errors.UnknownModality(
        "'smell' is not a modality of this model; it has image, clinical",
        modality="smell", expected=["image", "clinical"],
    ),
    errors.MissingModality(
        "no modality is present; give at least one of image, clinical", expected=["image", "clinical"]
    ),
    errors.Overloaded("too many samples are waiting; try again soon", retry_after_s=1),
    TOO_MANY_REQUESTS,
    errors.HeadTooLarge("the request line and the headers are longer than 65536 bytes", expected=65536),
    errors.InferenceFailed("the model failed; see the service's log"),
    errors.InternalError("internal error; see the service's log"),
    NOT_READY,
    errors.DeadlineExceeded("no answer within 30 s", expected=30),
]  # fmt: skip
UNKNOWN_MODEL = errors.UnknownModel(
    "unknown model 'digit'; loaded: digits", expected=["digits"], received="digit"
)
UNKNOWN_BUNDLE = errors.UnknownBundle("the folder has no bundle 'digits-3'", received="digits-3")
CONFLICT = errors.Conflict(
    "version '3' is not loaded, so it cannot become the stable one", expected=["1", "2"], received="3"
)
INVALID_ROLES = errors.InvalidInput(
    "canary.share: Input should be less than 1",
    expected="Input should be less than 1", received="canary.share",
)  # fmt: skip
UNUSABLE = errors.UnusableBundle("digits-2.zip is neither a bundle's folder nor a .zip")
# These may be answered to any admin call.
ADMIN_ERRORS: list[ServiceError] = [
    errors.BadRequest("the body is not JSON: unexpected end of data: line 1 column 12 (char 11)"),
    UNAUTHORIZED,
    errors.Forbidden("the key is not an admin key", expected="an admin's key"),
    errors.PayloadTooLarge("the body is longer than 65536 bytes", expected=65536),
    NOT_READY,
]
BATCH_TOO_LARGE = errors.BatchTooLarge(
    "300 items, at most 256 are accepted in one request", expected=256, received=300
)
# Of a batch these are in the place of their item, in an answer with status 200.
OF_ONE_ITEM = (
    errors.UnknownColumn, errors.NotFinite, errors.UndecodableImage, errors.TooManyPixels, errors.TextTooLong,
    errors.UnknownModality, errors.MissingModality, errors.InferenceFailed,
)  # fmt: skip
# Neither a batch nor the value of one modality is a form.
VALUE_ERRORS = [each for each in PREDICT_ERRORS if not isinstance(each, errors.TooManyParts)]
BATCH_ERRORS = [*(each for each in VALUE_ERRORS if not isinstance(each, OF_ONE_ITEM)), BATCH_TOO_LARGE]
# These are of no route in the document.
ELSEWHERE: list[ServiceError] = [
    UNKNOWN_MODEL,
    UNKNOWN_BUNDLE,
    CONFLICT,
    UNUSABLE,
    errors.Forbidden("the key is not an admin key", expected="an admin's key"),
    errors.NotFound("no route /prediction"),
    errors.MethodNotAllowed("/predict takes POST, not GET", allow=["POST"]),
]

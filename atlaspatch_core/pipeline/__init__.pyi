from .patients.encoding import encode_cases as encode_cases
from .processing import process as process

# For the type checker only. transformers imports each of its models when it is first asked for, by
# tables that a checker can follow only by reading all of them: three thousand files for two names.
from typing import Any

def __getattr__(name: str) -> Any: ...

-- Profiles (symbolon-agreement). Specification: docs/store.md.

-- What users said about themselves when they enrolled: keyed digests, which say nothing without the server's key.
CREATE TABLE profiles (
    id             TEXT    PRIMARY KEY,
    digest         BLOB    NOT NULL CHECK (length(digest) = 32),
    -- Attempts in the current window, and when it began.
    attempts       INTEGER NOT NULL CHECK (attempts >= 0),
    attempts_since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Profiles (symbolon-agreement). Specification: docs/store.md.

CREATE TABLE profiles (
    id             text   COLLATE "C" PRIMARY KEY,
    digest         bytea  NOT NULL CHECK (octet_length(digest) = 32),
    attempts       bigint NOT NULL CHECK (attempts >= 0),
    attempts_since bigint NOT NULL
);
COMMENT ON TABLE profiles IS 'What users said about themselves when they enrolled: keyed digests, which say nothing without the key of the server.';
COMMENT ON COLUMN profiles.attempts IS 'Attempts in the current window, which began at attempts_since.';

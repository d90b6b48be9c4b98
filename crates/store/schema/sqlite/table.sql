-- Directory, mailbox, inbox and approvals (symbolon-table). Specification: docs/store.md.

-- The directory: one history of records for each id, numbered from 0 without gaps, which only grows.
CREATE TABLE directory_records (
    id     TEXT    NOT NULL,
    epoch  INTEGER NOT NULL CHECK (epoch >= 0),
    -- As it was signed (docs/directory.md).
    record BLOB    NOT NULL,
    PRIMARY KEY (id, epoch)
) STRICT, WITHOUT ROWID;

-- One row for each recipient who ever had a letter.
CREATE TABLE mailboxes (
    recipient     TEXT    PRIMARY KEY,
    -- The number of the newest letter ever deposited: it outlives the letters, so that no number comes again.
    last_sequence INTEGER NOT NULL,
    -- What lies there now: counted here, so that a quota costs the same for every mailbox.
    letters       INTEGER NOT NULL CHECK (letters >= 0),
    bytes         INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT, WITHOUT ROWID;

-- One row for each sender who ever had a letter lying somewhere.
CREATE TABLE senders (
    sender  TEXT    PRIMARY KEY,
    -- What lies there now, in all mailboxes.
    letters INTEGER NOT NULL CHECK (letters >= 0),
    bytes   INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT, WITHOUT ROWID;

-- Sealed messages until their recipients acknowledge them.
CREATE TABLE letters (
    recipient  TEXT    NOT NULL REFERENCES mailboxes (recipient),
    sequence   INTEGER NOT NULL,
    sender     TEXT    NOT NULL REFERENCES senders (sender),
    message_id BLOB    NOT NULL CHECK (length(message_id) = 16),
    deposited  INTEGER NOT NULL,
    -- As it was sealed (docs/table.md).
    message    BLOB    NOT NULL,
    UNIQUE (recipient, sequence),
    UNIQUE (recipient, sender, message_id)
) STRICT;

CREATE INDEX letters_by_age ON letters (deposited);

-- Messages that were accepted, so that none is accepted twice.
CREATE TABLE accepted_messages (
    recipient  TEXT    NOT NULL,
    sender     TEXT    NOT NULL,
    message_id BLOB    NOT NULL CHECK (length(message_id) = 16),
    -- The recipient's key that the message was sealed to; the row may go when that key is gone.
    epoch      INTEGER NOT NULL,
    PRIMARY KEY (recipient, sender, message_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX accepted_messages_by_epoch ON accepted_messages (recipient, epoch);

-- Approvals that were acted upon, so that none counts twice.
CREATE TABLE spent_approvals (
    id      BLOB    PRIMARY KEY CHECK (length(id) = 16),
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX spent_approvals_by_age ON spent_approvals (expires);

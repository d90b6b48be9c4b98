-- Directory, mailbox, inbox and approvals (symbolon-table). Specification: docs/store.md.

CREATE TABLE directory_records (
    id     text   COLLATE "C" NOT NULL,
    epoch  bigint NOT NULL CHECK (epoch >= 0),
    record bytea  NOT NULL,
    PRIMARY KEY (id, epoch)
);
COMMENT ON TABLE directory_records IS 'One history of signed records for each id, numbered from 0 without gaps, which only grows.';

CREATE TABLE mailboxes (
    recipient     text   COLLATE "C" PRIMARY KEY,
    last_sequence bigint NOT NULL,
    letters       bigint NOT NULL CHECK (letters >= 0),
    bytes         bigint NOT NULL CHECK (bytes >= 0)
);
COMMENT ON TABLE mailboxes IS 'One row for each recipient who ever had a letter.';
COMMENT ON COLUMN mailboxes.last_sequence IS 'The number of the newest letter ever deposited: it outlives the letters, so that no number comes again.';
COMMENT ON COLUMN mailboxes.letters IS 'What lies there now: counted here, so that a quota costs the same for every mailbox.';

CREATE TABLE senders (
    sender  text   COLLATE "C" PRIMARY KEY,
    letters bigint NOT NULL CHECK (letters >= 0),
    bytes   bigint NOT NULL CHECK (bytes >= 0)
);
COMMENT ON TABLE senders IS 'One row for each sender who ever had a letter lying somewhere: what lies there now, in all mailboxes.';

CREATE TABLE letters (
    recipient  text   COLLATE "C" NOT NULL REFERENCES mailboxes (recipient),
    sequence   bigint NOT NULL,
    sender     text   COLLATE "C" NOT NULL REFERENCES senders (sender),
    message_id bytea  NOT NULL CHECK (octet_length(message_id) = 16),
    deposited  bigint NOT NULL,
    message    bytea  NOT NULL,
    PRIMARY KEY (recipient, sequence),
    UNIQUE (recipient, sender, message_id)
);
COMMENT ON TABLE letters IS 'Sealed messages until their recipients acknowledge them.';
-- What is sealed does not compress.
ALTER TABLE letters ALTER COLUMN message SET STORAGE EXTERNAL;
CREATE INDEX letters_by_age ON letters (deposited);

CREATE TABLE accepted_messages (
    recipient  text   COLLATE "C" NOT NULL,
    sender     text   COLLATE "C" NOT NULL,
    message_id bytea  NOT NULL CHECK (octet_length(message_id) = 16),
    epoch      bigint NOT NULL,
    PRIMARY KEY (recipient, sender, message_id)
);
COMMENT ON TABLE accepted_messages IS 'Messages that were accepted, so that none is accepted twice.';
COMMENT ON COLUMN accepted_messages.epoch IS 'The key of the recipient that the message was sealed to; the row may go when that key is gone.';
CREATE INDEX accepted_messages_by_epoch ON accepted_messages (recipient, epoch);

CREATE TABLE spent_approvals (
    id      bytea  PRIMARY KEY CHECK (octet_length(id) = 16),
    expires bigint NOT NULL
);
COMMENT ON TABLE spent_approvals IS 'Approvals that were acted upon, so that none counts twice.';
CREATE INDEX spent_approvals_by_age ON spent_approvals (expires);

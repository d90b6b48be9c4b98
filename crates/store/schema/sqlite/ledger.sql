-- Pads, accounts, transfers and their journal (symbolon-ledger). Specification: docs/accounts.md, docs/store.md.
--
-- No row here holds a secret: the bytes and keys of a pad are never in a database.

CREATE TABLE accounts (
    id      BLOB    PRIMARY KEY CHECK (length(id) = 16),
    -- 1 debit, 2 credit.
    side    INTEGER NOT NULL CHECK (side IN (1, 2)),
    balance BLOB    NOT NULL CHECK (length(balance) = 16),
    -- The part of the balance that unresolved holds have set aside.
    held    BLOB    NOT NULL CHECK (length(held) = 16 AND held <= balance),
    -- The pad whose value it is.
    pad     BLOB    CHECK (length(pad) = 16),
    closed  INTEGER NOT NULL CHECK (closed IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE pads (
    id                   BLOB    PRIMARY KEY CHECK (length(id) = 16),
    -- Binds the row to one half of the pad.
    instance             BLOB    NOT NULL CHECK (length(instance) = 16),
    -- 1 pad over AEAD, 2 pad only, 3 key sequence.
    mode                 INTEGER NOT NULL CHECK (mode IN (1, 2, 3)),
    witnessed            INTEGER NOT NULL CHECK (witnessed IN (0, 1)),
    account              BLOB    REFERENCES accounts (id),
    refund               BLOB    REFERENCES accounts (id),
    -- 1 open, 2 pad spent, 3 value spent, 4 closed, 5 rollback suspected, 6 witness rolled back.
    status               INTEGER NOT NULL CHECK (status BETWEEN 1 AND 6),
    lease_epoch          INTEGER NOT NULL,
    lease_owner          BLOB    CHECK (length(lease_owner) = 16),
    lease_until          INTEGER NOT NULL,
    -- The lane that we send on: everything below `reserved` counts as used.
    send_lane            INTEGER NOT NULL CHECK (send_lane IN (0, 1)),
    send_generation      BLOB    NOT NULL CHECK (length(send_generation) = 16),
    send_len             INTEGER NOT NULL,
    send_from            INTEGER NOT NULL,
    send_reserved        INTEGER NOT NULL CHECK (send_reserved BETWEEN 0 AND send_len),
    send_batch           BLOB    NOT NULL CHECK (length(send_batch) = 16),
    -- The lane that the peer sends on: everything below `position` was received.
    receive_lane         INTEGER NOT NULL CHECK (receive_lane IN (0, 1) AND receive_lane <> send_lane),
    receive_generation   BLOB    NOT NULL CHECK (length(receive_generation) = 16),
    receive_len          INTEGER NOT NULL,
    receive_position     INTEGER NOT NULL CHECK (receive_position >= 0),
    receive_seq          INTEGER NOT NULL,
    receive_ceiling_from INTEGER NOT NULL,
    receive_ceiling      INTEGER NOT NULL CHECK (receive_ceiling BETWEEN 0 AND receive_len),
    receive_batch        BLOB    NOT NULL CHECK (length(receive_batch) = 16)
) STRICT;

-- Every movement of value, immutable but for `resolved_by`. Rows lie in the order they came, so that a commit touches
-- few pages; only the index of ids is as random as they are.
CREATE TABLE transfers (
    id          BLOB    PRIMARY KEY CHECK (length(id) = 16),
    -- 1 post, 2 hold, 3 capture, 4 release, 5 expire.
    kind        INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 5),
    debited     BLOB    NOT NULL CHECK (length(debited) = 16),
    credited    BLOB    NOT NULL CHECK (length(credited) = 16),
    amount      BLOB    NOT NULL CHECK (length(amount) = 16),
    -- The hold that it resolves.
    hold        BLOB    CHECK (length(hold) = 16),
    matures     INTEGER,
    expires     INTEGER,
    reference   BLOB    NOT NULL CHECK (length(reference) = 16),
    at          INTEGER NOT NULL,
    -- Of a hold: the transfer that resolved it.
    resolved_by BLOB    CHECK (length(resolved_by) = 16)
) STRICT;

-- Holds that wait for their time.
CREATE INDEX transfers_due ON transfers (coalesce(expires, matures))
    WHERE kind = 2 AND resolved_by IS NULL AND coalesce(expires, matures) IS NOT NULL;

-- What happened, in order, each entry chained to all before it by its hash.
CREATE TABLE journal (
    number   INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    -- Of a transfer, only its id: the row in `transfers` is the event, so that the chain covers it.
    transfer BLOB    CHECK (length(transfer) = 16),
    -- Any other event, as it is hashed (docs/accounts.md).
    event    BLOB,
    hash     BLOB    NOT NULL CHECK (length(hash) = 32),
    CHECK ((transfer IS NULL) <> (event IS NULL))
) STRICT;

-- Which entries concern an account: its statement.
CREATE TABLE statements (
    account BLOB    NOT NULL CHECK (length(account) = 16),
    number  INTEGER NOT NULL,
    PRIMARY KEY (account, number)
) STRICT, WITHOUT ROWID;

-- Requests that were received under a pad, and the finished frames that answer them.
CREATE TABLE requests (
    pad       BLOB    NOT NULL REFERENCES pads (id),
    id        BLOB    NOT NULL CHECK (length(id) = 16),
    -- Where the frame ended in its lane.
    frame_end INTEGER NOT NULL,
    reply     BLOB,
    UNIQUE (pad, id)
) STRICT;

-- In the order they came, to be listed and forgotten.
CREATE INDEX requests_in_order ON requests (pad, frame_end, id);

-- What is to be done elsewhere because a batch was committed, oldest first.
CREATE TABLE outbox (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    id      BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    payload BLOB    NOT NULL
) STRICT;

-- Pads, accounts, transfers and their journal (symbolon-ledger). Specification: docs/accounts.md, docs/store.md.
--
-- No row here holds a secret: the bytes and keys of a pad are never in a database.

CREATE TABLE accounts (
    id      bytea         PRIMARY KEY CHECK (octet_length(id) = 16),
    side    smallint      NOT NULL CHECK (side IN (1, 2)),
    balance numeric(39,0) NOT NULL CHECK (balance >= 0),
    held    numeric(39,0) NOT NULL CHECK (held BETWEEN 0 AND balance),
    pad     bytea         CHECK (octet_length(pad) = 16),
    closed  boolean       NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE accounts IS 'Balances, in minor units.';
COMMENT ON COLUMN accounts.side IS '1 debit, 2 credit.';
COMMENT ON COLUMN accounts.held IS 'The part of the balance that unresolved holds have set aside.';
COMMENT ON COLUMN accounts.pad IS 'The pad whose value it is.';

CREATE TABLE pads (
    id                   bytea    PRIMARY KEY CHECK (octet_length(id) = 16),
    instance             bytea    NOT NULL CHECK (octet_length(instance) = 16),
    mode                 smallint NOT NULL CHECK (mode IN (1, 2, 3)),
    witnessed            boolean  NOT NULL,
    account              bytea    REFERENCES accounts (id),
    refund               bytea    REFERENCES accounts (id),
    status               smallint NOT NULL CHECK (status BETWEEN 1 AND 6),
    lease_epoch          bigint   NOT NULL,
    lease_owner          bytea    CHECK (octet_length(lease_owner) = 16),
    lease_until          bigint   NOT NULL,
    send_lane            smallint NOT NULL CHECK (send_lane IN (0, 1)),
    send_generation      bytea    NOT NULL CHECK (octet_length(send_generation) = 16),
    send_len             bigint   NOT NULL,
    send_from            bigint   NOT NULL,
    send_reserved        bigint   NOT NULL CHECK (send_reserved BETWEEN 0 AND send_len),
    send_batch           bytea    NOT NULL CHECK (octet_length(send_batch) = 16),
    receive_lane         smallint NOT NULL CHECK (receive_lane IN (0, 1) AND receive_lane <> send_lane),
    receive_generation   bytea    NOT NULL CHECK (octet_length(receive_generation) = 16),
    receive_len          bigint   NOT NULL,
    receive_position     bigint   NOT NULL CHECK (receive_position >= 0),
    receive_seq          bigint   NOT NULL,
    receive_ceiling_from bigint   NOT NULL,
    receive_ceiling      bigint   NOT NULL CHECK (receive_ceiling BETWEEN 0 AND receive_len),
    receive_batch        bytea    NOT NULL CHECK (octet_length(receive_batch) = 16)
) WITH (fillfactor = 80);
COMMENT ON TABLE pads IS 'Who owns a pad, and how far it is used.';
COMMENT ON COLUMN pads.instance IS 'Binds the row to one half of the pad.';
COMMENT ON COLUMN pads.mode IS '1 pad over AEAD, 2 pad only, 3 key sequence.';
COMMENT ON COLUMN pads.status IS '1 open, 2 pad spent, 3 value spent, 4 closed, 5 rollback suspected, 6 witness rolled back.';
COMMENT ON COLUMN pads.lease_epoch IS 'Counts the owners; a commit under an earlier epoch is refused.';
COMMENT ON COLUMN pads.send_reserved IS 'Of the lane that we send on: everything below counts as used.';
COMMENT ON COLUMN pads.receive_position IS 'Of the lane that the peer sends on: everything below was received.';

CREATE TABLE transfers (
    id          bytea         PRIMARY KEY CHECK (octet_length(id) = 16),
    kind        smallint      NOT NULL CHECK (kind BETWEEN 1 AND 5),
    debited     bytea         NOT NULL CHECK (octet_length(debited) = 16),
    credited    bytea         NOT NULL CHECK (octet_length(credited) = 16),
    amount      numeric(39,0) NOT NULL CHECK (amount >= 0),
    hold        bytea         CHECK (octet_length(hold) = 16),
    matures     bigint,
    expires     bigint,
    reference   bytea         NOT NULL CHECK (octet_length(reference) = 16),
    at          bigint        NOT NULL,
    resolved_by bytea         CHECK (octet_length(resolved_by) = 16)
);
COMMENT ON TABLE transfers IS 'Every movement of value, immutable but for resolved_by.';
COMMENT ON COLUMN transfers.kind IS '1 post, 2 hold, 3 capture, 4 release, 5 expire.';
COMMENT ON COLUMN transfers.hold IS 'The hold that it resolves.';
COMMENT ON COLUMN transfers.resolved_by IS 'Of a hold: the transfer that resolved it.';
-- Holds that wait for their time.
CREATE INDEX transfers_due ON transfers (coalesce(expires, matures))
    WHERE kind = 2 AND resolved_by IS NULL AND coalesce(expires, matures) IS NOT NULL;

CREATE TABLE journal (
    number   bigint PRIMARY KEY,
    at       bigint NOT NULL,
    transfer bytea  CHECK (octet_length(transfer) = 16),
    event    bytea,
    hash     bytea  NOT NULL CHECK (octet_length(hash) = 32),
    CHECK ((transfer IS NULL) <> (event IS NULL))
);
COMMENT ON TABLE journal IS 'What happened, in order, each entry chained to all before it by its hash.';
COMMENT ON COLUMN journal.transfer IS 'Of a transfer, only its id: the row in transfers is the event, so that the chain covers it.';
COMMENT ON COLUMN journal.event IS 'Any other event, as it is hashed (docs/accounts.md).';

CREATE TABLE statements (
    account bytea  NOT NULL CHECK (octet_length(account) = 16),
    number  bigint NOT NULL,
    PRIMARY KEY (account, number)
);
COMMENT ON TABLE statements IS 'Which entries of the journal concern an account.';

CREATE TABLE requests (
    pad       bytea  NOT NULL REFERENCES pads (id),
    id        bytea  NOT NULL CHECK (octet_length(id) = 16),
    frame_end bigint NOT NULL,
    reply     bytea,
    PRIMARY KEY (pad, id)
);
COMMENT ON TABLE requests IS 'Requests that were received under a pad, and the finished frames that answer them.';
COMMENT ON COLUMN requests.frame_end IS 'Where the frame ended in its lane.';
-- In the order they came, to be listed and forgotten.
CREATE INDEX requests_in_order ON requests (pad, frame_end, id);
ALTER TABLE requests ALTER COLUMN reply SET STORAGE EXTERNAL;

CREATE TABLE outbox (
    number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      bytea  NOT NULL UNIQUE CHECK (octet_length(id) = 16),
    payload bytea  NOT NULL
);
COMMENT ON TABLE outbox IS 'What is to be done elsewhere because a batch was committed, oldest first.';

use symbolon_keys::random_id;

random_id! {
    /// Names a pad: the same at both ends, the only thing a server knows of its holder.
    pub struct PadId;
    /// Marks one life of a lane. Frames carry it and the peer pins it; only a recovery changes it.
    pub struct Generation;
    /// Binds a ledger row to the half that it was provisioned for. A second provisioning, or a recovery, has another.
    pub struct Instance;
    /// Names one reservation, so that a lost acknowledgement can be told from a second claim.
    pub struct BatchId;
    /// Names a process that owns pads.
    pub struct OwnerId;
    /// Names an account. Made by the client.
    pub struct AccountId;
    /// Names a transfer, made and kept by the client *before* it asks: repeating it with the same id changes nothing.
    pub struct TransferId;
    /// The first half of the labelled hash of a request's frame (C3): identical bytes are the same request.
    pub struct RequestId;
    /// Names an entry of the outbox.
    pub struct OutboxId;
}

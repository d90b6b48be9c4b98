symbolon_keys::random_id! {
    /// Names a document that asks for approval; random, drawn by whoever asks.
    pub struct ApprovalId;
}

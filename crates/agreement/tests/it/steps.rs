//! The steps of both ends without any socket, and what happens when somebody stands in between.

mod claims;
mod downgrade;
mod exchange;
mod interleavings;
mod messages;
mod tickets;
mod transcripts;

use std::sync::Arc;

use symbolon_agreement::{
    Arrival, Claim, Established, Initiator, InitiatorBuilder, Pinned, Responder, Suite, Terms, Ticket,
};
use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, OsRng, UnixTime};

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);
pub(crate) const PORT: Arrival = Arrival::Port(40_123);

pub(crate) fn key() -> Arc<NoiseSecretKey> {
    Arc::new(NoiseSecretKey::generate(Backend::best(), &mut OsRng))
}

/// All suites without pre-shared keys.
pub(crate) fn all_suites() -> Vec<Suite> {
    (1..=16).filter_map(Suite::from_number).collect()
}

pub(crate) struct World {
    pub(crate) initiator: Arc<NoiseSecretKey>,
    pub(crate) responder: Responder,
}

impl World {
    pub(crate) fn new() -> Self {
        let initiator = key();
        let responder = Responder::new(key()).suites(&all_suites()).initiator(*initiator.public_key());
        Self { initiator, responder }
    }

    pub(crate) fn server(&self) -> NoisePublicKey {
        *self.responder.public_key()
    }

    pub(crate) fn xx(&self) -> InitiatorBuilder<'static, Pinned> {
        Initiator::xx(self.initiator.clone()).expect(self.server())
    }

    /// The initiator of a suite that [`all_suites`] has.
    pub(crate) fn initiator(&self, suite: Suite) -> InitiatorBuilder<'static, Pinned> {
        let key = self.initiator.clone();
        let builder = match suite.hybrid(false) {
            Suite::XX => Initiator::xx(key),
            Suite::IK => Initiator::ik(key),
            Suite::NK => Initiator::nk(),
            Suite::XK => Initiator::xk(key),
            Suite::KK => Initiator::kk(key),
            Suite::NX => Initiator::nx(),
            Suite::IX => Initiator::ix(key),
            _ => Initiator::kx(key),
        };
        let builder = builder.expect(self.server());
        if suite.is_hybrid() { builder } else { builder.classical() }
    }

    /// Up to the assignment of port 40123.
    pub(crate) fn assigned(&self, builder: InitiatorBuilder<'static, Pinned>) -> (Claim, Ticket) {
        self.assigned_with(builder, Terms::new().port(40_123))
    }

    pub(crate) fn assigned_with(
        &self,
        builder: InitiatorBuilder<'static, Pinned>,
        terms: Terms,
    ) -> (Claim, Ticket) {
        let mut i = builder.start(&mut OsRng).unwrap();
        let received = self.responder.receive(i.body(), None).unwrap();
        let (m2, ticket) = received.answer(terms, NOW, &mut OsRng).unwrap();
        let (claim, _) = i.receive(&m2).unwrap().claim().unwrap();
        (claim, ticket)
    }
}

/// Claim, challenge and proof, from wherever the claim arrived.
pub(crate) fn prove(claim: &mut Claim, ticket: &mut Ticket, arrival: Arrival) -> (Established, Established) {
    let challenged = ticket.claim(claim.body(), arrival, NOW, &mut OsRng).unwrap();
    let (proof, mine) = claim.answer(&challenged.message).unwrap();
    let theirs = ticket.prove(challenged.path, &proof, NOW).unwrap();
    (mine, theirs)
}

/// That both ends have the same session: a message goes each way.
pub(crate) fn talk((mine, theirs): (Established, Established)) {
    use symbolon_agreement::Opened;
    assert_eq!(mine.context().handshake_hash(), theirs.context().handshake_hash());
    let (mut my_sealer, mut my_opener, _) = mine.into_session(NOW);
    let (mut their_sealer, mut their_opener, _) = theirs.into_session(NOW);
    let mut out = Vec::new();
    assert!(my_sealer.seal(b"up", NOW, &mut out).unwrap().is_none());
    assert_eq!(their_opener.open(&mut out[3..]).unwrap(), Opened::Last(b"up"));
    out.clear();
    assert!(their_sealer.seal(b"down", NOW, &mut out).unwrap().is_none());
    assert_eq!(my_opener.open(&mut out[3..]).unwrap(), Opened::Last(b"down"));
}

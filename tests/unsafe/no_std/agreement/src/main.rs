//! The core of `symbolon-agreement` without std: hello and handshake, assignment, claim, path proof, a message.
#![no_std]
#![no_main]

extern crate alloc;
extern crate no_std_rt;

use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use symbolon_agreement::{Arrival, Initiator, Opened, Responder, Terms};
use symbolon_keys::{Backend, NoiseSecretKey, UnixTime};

const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    i32::from(run().is_none())
}

fn run() -> Option<()> {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let mut key = || Arc::new(NoiseSecretKey::generate(Backend::best(), &mut rng));
    let (mine, theirs) = (key(), key());
    let responder = Responder::new(theirs);
    let initiator = Initiator::xx(mine).expect(*responder.public_key());
    let mut initiator = initiator.start(&mut rng).ok()?;
    let received = responder.receive(initiator.body(), None).ok()?;
    let (second, mut ticket) = received.answer(Terms::new().port(40_123), NOW, &mut rng).ok()?;
    let (mut claim, to) = initiator.receive(&second).ok()?.claim().ok()?;
    let arrival = Arrival::Port(to.port()?.get());
    let challenged = ticket.claim(claim.body(), arrival, NOW, &mut rng).ok()?;
    let (proof, mine) = claim.answer(&challenged.message).ok()?;
    let theirs = ticket.prove(challenged.path, &proof, NOW).ok()?;

    let (mut sealer, _, _) = mine.into_session(NOW);
    let (_, mut opener, _) = theirs.into_session(NOW);
    let mut out = Vec::new();
    sealer.seal(b"pay 5", NOW, &mut out).ok()?;
    (opener.open(out.get_mut(3..)?).ok()? == Opened::Last(b"pay 5")).then_some(())
}

//! A responder that strangers talk to, and one honest initiator beside them, who always gets its session.

use std::sync::Arc;

use symbolon_agreement::{Arrival, Initiator, PathId, Responder, Suite, Terms};
use symbolon_keys::{Backend, BufferedRng, NoiseSecretKey, Secret, UnixTime};

/// Commands of three bytes or more: what to do, a length, and bytes. Where a command says so, the bytes are laid over
/// a true message instead of standing alone.
pub(crate) fn run(data: &[u8]) {
    let key = |byte| Arc::new(NoiseSecretKey::from_secret(Backend::best(), Secret::from([byte; 32])));
    let (now, port, mut rng) = (UnixTime::from_secs(1000), Arrival::Port(7), BufferedRng::new());
    let suite = if data.len().is_multiple_of(2) { Suite::XX } else { Suite::IK };
    let responder = Responder::new(key(1)).suites(&[suite]);
    let builder = if suite == Suite::XX { Initiator::xx(key(2)) } else { Initiator::ik(key(2)) };
    let mut i = builder.expect(*responder.public_key()).classical().start(&mut rng).unwrap();
    let first = i.body().to_vec();
    let received = responder.receive(&first, None).unwrap();
    let (m2, mut ticket) = received.answer(Terms::new().port(7), now, &mut rng).unwrap();

    let mut commands = data;
    let mut claim = None;
    let mut paths: Vec<PathId> = Vec::new();
    while let Some((&[command, len], rest)) = commands.split_first_chunk() {
        let (bytes, rest) = rest.split_at(rest.len().min(len.into()));
        commands = rest;
        match command % 6 {
            0 => drop(responder.receive(&laid_over(&first, bytes, command), None)),
            1 => {
                let forged = laid_over(&m2, bytes, command);
                if forged != m2 && claim.is_none() {
                    assert!(i.receive(&forged).is_err());
                }
            }
            2 if claim.is_none() => claim = Some(i.receive(&m2).unwrap().claim().unwrap().0),
            2 | 3 => {
                let Some(claim) = &claim else { continue };
                let forged = laid_over(claim.body(), bytes, command);
                let taken = ticket.claim(&forged, port, now, &mut rng);
                assert_eq!(taken.is_ok(), forged == claim.body());
                paths.extend(taken.map(|challenged| challenged.path));
            }
            4 => {
                let Some(path) = paths.pop() else { continue };
                assert!(ticket.prove(path, bytes, now).is_err(), "a proof was guessed");
            }
            _ => {
                let Some(claim) = &mut claim else { continue };
                assert!(claim.answer(bytes).is_err(), "a challenge was guessed");
            }
        }
    }

    let mut claim = claim.unwrap_or_else(|| i.receive(&m2).unwrap().claim().unwrap().0);
    let challenged = ticket.claim(claim.body(), port, now, &mut rng).unwrap();
    let (proof, mine) = claim.answer(&challenged.message).unwrap();
    let theirs = ticket.prove(challenged.path, &proof, now).unwrap();
    assert_eq!(mine.context().handshake_hash(), theirs.context().handshake_hash());
}

fn laid_over(message: &[u8], bytes: &[u8], command: u8) -> Vec<u8> {
    if command < 128 {
        return bytes.to_vec();
    }
    let Some((&at, bytes)) = bytes.split_first() else { return message.to_vec() };
    let mut message = message.to_vec();
    for (to, from) in message.iter_mut().skip(at.into()).zip(bytes) {
        *to ^= from;
    }
    message
}

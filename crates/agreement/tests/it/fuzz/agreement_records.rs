//! A stream of records, changed by strangers: what comes out is what was sent, as far as it comes.

use symbolon_agreement::{
    Deframer, Established, Initiator, Kind, Opened, Opener, Rekey, Responder, Sealer, Suite, Terms,
};
use symbolon_keys::{Backend, BufferedRng, NoiseSecretKey, Secret, UnixTime};

const NOW: UnixTime = UnixTime::from_secs(1000);

/// The first byte says where the stream is changed, the next two how; the rest is sent, in messages of as many bytes
/// as their first one says.
pub(crate) fn run(data: &[u8]) {
    let Some((&[at, change, piece], data)) = data.split_first_chunk() else { return };
    let (mut sealer, mut opener) = ends();
    sealer.set_rekey(Rekey::after(3, core::time::Duration::MAX));
    let (mut stream, mut sent, mut rest) = (Vec::new(), Vec::new(), data);
    while let Some((&len, bytes)) = rest.split_first() {
        let (message, left) = bytes.split_at(bytes.len().min(len.into()));
        assert!(sealer.seal(message, NOW, &mut stream).unwrap().is_none());
        sent.push(message);
        rest = left;
    }
    sealer.end(&mut stream).unwrap();
    let at = usize::from(at) * (stream.len() - 1) / 255;
    stream[at] ^= change;

    let (mut deframer, mut received, mut failed) = (Deframer::new(), Vec::new(), false);
    'stream: for bytes in stream.chunks(usize::from(piece) + 1) {
        deframer.feed(bytes);
        loop {
            match deframer.next(&[Kind::Record]).map(|record| record.map(|(_, body)| opener.open(body))) {
                Ok(Some(Ok(Opened::Last(data) | Opened::Part(data)))) => received.push(data.to_vec()),
                Ok(Some(Ok(_))) => {}
                Ok(None) => break,
                Err(_) | Ok(Some(Err(_))) => {
                    failed = true;
                    break 'stream;
                }
            }
        }
    }
    assert!(sent.starts_with(&received.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    assert_eq!(opener.is_ended(), change == 0, "a change must show");
    assert!(!failed || change != 0);

    // Bytes from nowhere.
    let (_, mut opener) = ends();
    let mut body = data.to_vec();
    assert!(opener.open(&mut body).is_err());
}

fn ends() -> (Sealer, Opener) {
    let key = |byte| NoiseSecretKey::from_secret(Backend::best(), Secret::from([byte; 32]));
    let mut rng = BufferedRng::new();
    let responder = Responder::new(key(1)).suites(&[Suite::NK]);
    let mut i = Initiator::nk().expect(*responder.public_key()).classical().start(&mut rng).unwrap();
    let received = responder.receive(i.body(), None).unwrap();
    let (m2, mut ticket) = received.answer(Terms::new().port(7), NOW, &mut rng).unwrap();
    let (mut claim, _) = i.receive(&m2).unwrap().claim().unwrap();
    let arrival = symbolon_agreement::Arrival::Port(7);
    let challenged = ticket.claim(claim.body(), arrival, NOW, &mut rng).unwrap();
    let (proof, mine) = claim.answer(&challenged.message).unwrap();
    let theirs: Established = ticket.prove(challenged.path, &proof, NOW).unwrap();
    (mine.into_session(NOW).0, theirs.into_session(NOW).1)
}

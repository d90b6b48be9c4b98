//! Framing, records, and what errors say.

use std::sync::Arc;

use symbolon_agreement::{
    AgreementError, ClaimError, Deframer, Established, FrameError, Initiator, Kind, MAX_RECORD_LEN, Opened,
    RecordError, Rekey, Responder, Suite, Terms,
};
use symbolon_keys::{Backend, NoiseSecretKey, OsRng, Psk, Secret};

use super::{NOW, PORT, World, prove};
use crate::tampered;

fn session() -> (Established, Established) {
    let world = World::new();
    let (mut claim, mut ticket) = world.assigned(world.initiator(Suite::XX));
    prove(&mut claim, &mut ticket, PORT)
}

#[test]
fn a_stream_is_cut_into_messages_wherever_it_is_cut() {
    let stream =
        [Kind::Challenge.frame(&[1; 32]), Kind::Proof.frame(&[2; 16]), Kind::Record.frame(&[3; 300])]
            .concat();
    let expected = [Kind::Challenge, Kind::Proof, Kind::Record];
    for piece in [1, 2, 3, 7, 50, stream.len()] {
        let mut deframer = Deframer::new();
        let mut found = Vec::new();
        for bytes in stream.chunks(piece) {
            deframer.feed(bytes);
            while let Some((kind, body)) = deframer.next(&expected).unwrap() {
                found.push((kind, body.len(), body[0]));
            }
        }
        assert_eq!(found, [(Kind::Challenge, 32, 1), (Kind::Proof, 16, 2), (Kind::Record, 300, 3)]);
        assert!(!deframer.has_partial());
    }
}

#[test]
fn the_header_decides() {
    for (bytes, error) in [
        (&[9_u8][..], FrameError::Unexpected(9)),
        (&[0], FrameError::Unexpected(0)),
        (&[8], FrameError::Unexpected(8)),
        (&[5, 0, 83], FrameError::TooLong),
        (&[7, 255, 255], FrameError::TooLong),
    ] {
        let mut deframer = Deframer::new();
        deframer.feed(bytes);
        assert_eq!(deframer.next(&[Kind::Claim, Kind::Proof]).unwrap_err(), error);
    }
}

#[test]
fn a_bad_record_ends_the_session() {
    let (mine, theirs) = session();
    let (mut sealer, _, _) = mine.into_session(NOW);
    let mut record = Vec::new();
    sealer.seal(b"message", NOW, &mut record).unwrap();
    let (_, mut opener, _) = theirs.into_session(NOW);
    let mut bad = record[3..].to_vec();
    bad[3] ^= 4;
    assert_eq!(opener.open(&mut bad), Err(RecordError::Rejected));
    // The true record comes too late: something was injected before it.
    assert_eq!(opener.open(&mut record[3..].to_vec()), Err(RecordError::Rejected));
}

#[test]
fn records_changed_repeated_swapped_or_left_out() {
    let records = |n: u8| {
        let (mine, theirs) = session();
        let (mut sealer, _, _) = mine.into_session(NOW);
        let (_, opener, _) = theirs.into_session(NOW);
        let seal = |n: u8| {
            let mut out = Vec::new();
            sealer.seal(&[n], NOW, &mut out).unwrap();
            out.split_off(3)
        };
        ((0..n).map(seal).collect::<Vec<_>>(), opener)
    };
    for bad in 0..tampered(&records(1).0[0]).len() {
        let (sealed, mut opener) = records(1);
        assert_eq!(opener.open(&mut tampered(&sealed[0])[bad]), Err(RecordError::Rejected));
    }
    for order in [&[0, 0][..], &[1], &[0, 2]] {
        let (sealed, mut opener) = records(3);
        let (last, before) = order.split_last().unwrap();
        for &n in before {
            assert!(opener.open(&mut sealed[n].clone()).is_ok());
        }
        assert_eq!(opener.open(&mut sealed[*last].clone()), Err(RecordError::Rejected));
    }
    // One's own record, reflected.
    let (mine, _) = session();
    let (mut sealer, mut opener, _) = mine.into_session(NOW);
    let mut out = Vec::new();
    sealer.seal(b"to them", NOW, &mut out).unwrap();
    assert_eq!(opener.open(&mut out[3..]), Err(RecordError::Rejected));
}

#[test]
fn a_message_spans_records_and_keys() {
    let (mine, theirs) = session();
    let (mut sealer, _, _) = mine.into_session(NOW);
    let (_, mut opener, _) = theirs.into_session(NOW);
    sealer.set_rekey(Rekey::after(1, core::time::Duration::from_secs(1)));
    let message: Vec<u8> = (0..3 * MAX_RECORD_LEN).map(|n| n as u8).collect();
    let (mut out, mut rest) = (Vec::new(), Some(&message[..]));
    while let Some(part) = rest {
        rest = sealer.seal(part, NOW, &mut out).unwrap();
    }
    sealer.end(&mut out).unwrap();
    assert_eq!(sealer.seal(b"", NOW, &mut out), Err(RecordError::Ended));
    let mut deframer = Deframer::new();
    deframer.feed(&out);
    let (mut received, mut rekeyed) = (Vec::new(), 0);
    while let Some((_, body)) = deframer.next(&[Kind::Record]).unwrap() {
        match opener.open(body).unwrap() {
            Opened::Part(data) | Opened::Last(data) => received.extend_from_slice(data),
            Opened::Rekeyed => rekeyed += 1,
            _ => {}
        }
    }
    assert!(received == message && opener.is_ended());
    assert_eq!(rekeyed, 2);
    assert_eq!(opener.open(&mut [0; 17]), Err(RecordError::Ended));
}

#[test]
fn nothing_secret_is_printed() {
    let key = |byte: u8| Arc::new(NoiseSecretKey::from_secret(Backend::best(), Secret::from([byte; 32])));
    let psk = || Psk::from(Secret::from([173; 32]));
    let responder =
        Responder::new(key(171)).suites(&[Suite::IK.with_psk(2).unwrap()]).psk(move |_| Some(psk()));
    let builder = Initiator::ik(key(172)).expect(*responder.public_key()).classical().psk(2, psk());
    let builder = builder.replayable_early_payload(&[174; 20]);
    let mut printed = format!("{responder:?} {builder:?}");
    let mut i = builder.start(&mut OsRng).unwrap();
    let received = responder.receive(i.body(), None).unwrap();
    printed += &format!("{i:?} {received:?} {:?}", received.early_payload());
    let (m2, mut ticket) = received.answer(Terms::new().port(40_123), NOW, &mut OsRng).unwrap();
    let verified = i.receive(&m2).unwrap();
    printed += &format!("{verified:?} {ticket:?}");
    let (mut claim, _) = verified.claim().unwrap();
    printed += &format!("{claim:?}");
    let (mine, theirs) = prove(&mut claim, &mut ticket, PORT);
    printed += &format!("{mine:?} {:?}", theirs.into_session(NOW));
    for secret in [171_u8, 172, 173, 174] {
        // Four in a row: two may be random bytes of a ticket.
        assert!(!printed.contains(&[secret.to_string().as_str(); 4].join(", ")), "{printed}");
        assert!(!printed.contains(&format!("{secret:02x}").repeat(4)), "{printed}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let texts = [
        AgreementError::Rejected.to_string(),
        AgreementError::NoCommonSuite { supported: vec![Suite::XX] }.to_string(),
        ClaimError::Expired.to_string(),
        RecordError::Rejected.to_string(),
        FrameError::Unexpected(71).to_string(),
    ];
    assert_eq!(
        texts,
        [
            "rejected: the data is not authentic, or it was made for another key",
            "the server takes none of the allowed suites, only [Suite(Noise_XX_25519_ChaChaPoly_SHA256)]: allow one of \
             them, if it is good enough, or ask for a newer server",
            "the ticket has expired: begin again at the well-known port",
            "a record is not authentic: changed, repeated or injected on its way; the session is over",
            "a message of type 71 may not come now: is the other end another program?",
        ]
    );
}

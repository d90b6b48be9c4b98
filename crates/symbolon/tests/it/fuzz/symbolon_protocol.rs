//! Messages of the protocol: total, bounded, and canonical.

#[allow(dead_code, unreachable_pub, reason = "the parser itself, without the rest of the crate")]
#[path = "../../../src/protocol.rs"]
mod protocol;

use protocol::{PadReply, PadRequest, ToClient, ToServer, decode, encode};

/// What decodes is encoded to the same bytes.
pub(crate) fn run(data: &[u8]) {
    if let Ok(message) = decode::<ToServer>(data) {
        assert!(encode(&message) == data);
    }
    if let Ok(message) = decode::<ToClient>(data) {
        assert!(encode(&message) == data);
    }
    if let Ok(message) = decode::<PadRequest>(data) {
        assert!(encode(&message) == data);
    }
    if let Ok(message) = decode::<PadReply>(data) {
        assert!(encode(&message) == data);
    }
}

/// One message of each kind, for the corpus.
#[cfg(test)]
pub(crate) fn samples() -> Vec<Vec<u8>> {
    use protocol::{
        Bytes, Ids, Letter, PadRef, PurchaseRef, QuoteRef, RecordRef, Refusal, RefusalCode, Reply, Request,
        Salt, Units,
    };
    let id = || "alice".parse().unwrap();
    let (bytes, name) = (|| vec![7; 3], [9; 16]);
    let requests = vec![
        Request::Login(id()),
        Request::VerifyProfile(bytes()),
        Request::BeginRegistration(id()),
        Request::Register(bytes()),
        Request::LookUp(Ids(vec![id(), "bob".parse().unwrap()])),
        Request::History(id(), 1 << 40),
        Request::Deposit(bytes()),
        Request::Poll(bytes(), 64),
        Request::Acknowledge(vec![1, 300, 70_000]),
        Request::Subscribe(Vec::new()),
        Request::BuyPad([5; 32], PurchaseRef(name), 1 << 20),
        Request::Frame(bytes()),
        Request::KeyParameters(id()),
        Request::Put(RecordRef(name), Some(7)),
        Request::Put(RecordRef(name), None),
        Request::Get(RecordRef(name)),
        Request::Grant(RecordRef(name), id()),
        Request::Revoke(RecordRef(name), id()),
        Request::Witness(PadRef(name), bytes()),
        Request::ClosePad([5; 32], PadRef(name)),
        Request::Process(RecordRef(name), "count".into(), bytes(), id()),
    ];
    let replies = vec![
        Reply::Done,
        Reply::Challenge(bytes()),
        Reply::Records(vec![Bytes(Vec::new()), Bytes(bytes())]),
        Reply::Deposited(3),
        Reply::Letters(vec![Letter { sequence: 9, message: bytes() }], bytes()),
        Reply::Frame(bytes()),
        Reply::KeyParameters(Salt(name), 65_536, 3, 4, 0),
        Reply::Stored(2),
        Reply::Follows(1 << 33),
        Reply::Witness(bytes()),
    ];
    let refusal = || Refusal::new(RefusalCode::Exhausted, "buy another");
    let under = [PadRequest::Quote("calculation".into(), bytes()), PadRequest::Balance]
        .into_iter()
        .chain([PadRequest::Perform("calculation".into(), bytes(), QuoteRef(name))]);
    let answers = [
        PadReply::Quoted(QuoteRef(name), Units(name)),
        PadReply::Performed(bytes(), Units(name), Units([0; 16])),
        PadReply::Balance(Units(name), 1, 2),
        PadReply::Refused(refusal()),
    ];
    let to_server =
        [ToServer::Data(1, bytes()), ToServer::End(1), ToServer::Witness(1, bytes()), ToServer::Pong];
    let to_client = [
        ToClient::Refused(u64::MAX, refusal()),
        ToClient::Refused(3, Refusal::later("busy", core::time::Duration::from_secs(5))),
        ToClient::Ping,
        ToClient::Data(1, bytes()),
        ToClient::End(1),
        ToClient::Pushed(Letter { sequence: 1, message: bytes() }),
        ToClient::Witness(1, bytes()),
    ];
    let mut samples: Vec<_> = requests.into_iter().map(|r| encode(&ToServer::Request(0, r))).collect();
    samples.extend(replies.into_iter().map(|r| encode(&ToClient::Reply(24, r))));
    samples.extend(under.map(|r| encode(&r)));
    samples.extend(answers.iter().map(encode));
    samples.extend(to_server.iter().map(encode));
    samples.extend(to_client.iter().map(encode));
    samples
}

use std::io::IoSlice;
use std::time::Duration;

use symbolon_agreement::net::{self, Connector, Listener, Policy, SessionError};
use symbolon_agreement::{Initiator, MAX_RECORD_LEN, Suite};
use symbolon_keys::Label;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::{echo, key, listen};

#[tokio::test]
async fn a_session_moves_to_an_assigned_port() {
    // proves A1, A2, A3, A4, A6, A8
    let (listener, server) = listen(Policy::default()).await;
    let my_key = key();
    let (client, served) =
        tokio::join!(net::connect(listener.local_addr(), &my_key, server), listener.accept());
    let (mut client, mut served) = (client.unwrap(), served.unwrap());

    assert_eq!(client.peer(), Some(&server));
    assert_eq!(served.peer(), Some(my_key.public_key()));
    assert_eq!(client.handshake_hash(), served.handshake_hash());
    assert_eq!(client.context().suite(), Suite::XX_HYBRID);
    assert_ne!(served.local_port(), listener.local_addr().port());
    assert!(listener.ports().contains(&served.local_port()));
    assert_eq!(client.peer_addr().port(), served.local_port());
    assert!((16_384..=32_767).contains(&served.local_port()));

    client.send(b"pay 5").await.unwrap();
    assert_eq!(served.recv().await.unwrap().unwrap(), b"pay 5");
    served.send(b"paid").await.unwrap();
    assert_eq!(client.recv().await.unwrap().unwrap(), b"paid");

    const LABEL: Label = Label::new("test/export/v1");
    let exports = [&client, &served].map(|session| session.export::<32>(LABEL, b"x").unwrap());
    assert_eq!(exports[0].expose(), exports[1].expose());
    assert_ne!(client.export::<32>(LABEL, b"y").unwrap().expose(), exports[0].expose());

    client.finish().await.unwrap();
    assert_eq!(served.recv().await.unwrap(), None);
    served.send(b"after your end").await.unwrap();
    assert_eq!(client.recv().await.unwrap().unwrap(), b"after your end");
    let (a, b) = tokio::join!(served.close(), client.close());
    a.unwrap();
    b.unwrap();
    assert_eq!(listener.pending(), 0);
}

#[tokio::test]
async fn messages_of_every_length_arrive_whole() {
    let (listener, server) = listen(Policy::default()).await;
    echo(&listener);
    let mut session = net::connect(listener.local_addr(), &key(), server).await.unwrap();
    for len in [0_usize, 1, 65_517, 65_518, 65_519, 65_535, 65_536, 200_000, 2 * 65_518] {
        let message: Vec<u8> = (0..len).map(|n| n as u8).collect();
        session.send(&message).await.unwrap();
        assert!(session.recv().await.unwrap().unwrap() == message, "{len}");
    }
    session.close().await.unwrap();
}

#[tokio::test]
async fn a_message_of_16_mib_is_the_longest() {
    let (listener, server) = listen(Policy::default()).await;
    echo(&listener);
    let (mut send, mut recv) = net::connect(listener.local_addr(), &key(), server).await.unwrap().split();
    let longest = vec![7; 16 * 1024 * 1024];
    let too_long = send.send(&vec![7; 16 * 1024 * 1024 + 1]).await;
    assert!(matches!(too_long, Err(SessionError::Record(_))));
    let (sent, received) = tokio::join!(send.send(&longest), recv.recv());
    sent.unwrap();
    assert!(received.unwrap().unwrap() == longest);
}

#[tokio::test]
async fn halves_work_in_two_tasks() {
    let (listener, server) = listen(Policy::default()).await;
    echo(&listener);
    let session = net::connect(listener.local_addr(), &key(), server).await.unwrap();
    let (mut send, mut recv) = session.split();
    let sender = tokio::spawn(async move {
        for n in 0..500_u32 {
            send.send(&n.to_be_bytes()).await.unwrap();
        }
        send.finish().await.unwrap();
    });
    for n in 0..500_u32 {
        assert_eq!(recv.recv().await.unwrap().unwrap(), n.to_be_bytes());
    }
    assert_eq!(recv.recv().await.unwrap(), None);
    sender.await.unwrap();
}

#[tokio::test]
async fn a_session_reads_and_writes_as_a_stream() {
    use tokio::io::{copy, split};
    let (listener, server) = listen(Policy::default()).await;
    let my_key = key();
    let (client, served) =
        tokio::join!(net::connect(listener.local_addr(), &my_key, server), listener.accept());
    let (client, served) = (client.unwrap().into_stream(), served.unwrap().into_stream());
    let echo = tokio::spawn(async move {
        let (mut from, mut to) = split(served);
        let copied = copy(&mut from, &mut to).await.unwrap();
        to.shutdown().await.unwrap();
        copied
    });
    let (mut from, mut to) = split(client);
    let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let bytes = sent.clone();
    let writer = tokio::spawn(async move {
        for piece in bytes.chunks(77_777) {
            to.write_all(piece).await.unwrap();
        }
        to.shutdown().await.unwrap();
        to
    });
    let mut received = Vec::new();
    from.read_to_end(&mut received).await.unwrap();
    assert!(received == sent);
    assert_eq!(echo.await.unwrap(), sent.len() as u64);
    writer.await.unwrap();
    // A cut is an error, not an end of file.
    let (client, served) =
        tokio::join!(net::connect(listener.local_addr(), &my_key, server), listener.accept());
    let mut client = client.unwrap().into_stream();
    let mut served = served.unwrap();
    served.send(b"before").await.unwrap();
    drop(served);
    let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_message_in_several_places_is_one_message() {
    let (listener, server) = listen(Policy::default()).await;
    echo(&listener);
    let mut session = net::connect(listener.local_addr(), &key(), server).await.unwrap();
    let body: Vec<u8> = (0_u8..=255).cycle().take(200_000).collect();
    let messages: [&[&[u8]]; 4] =
        [&[], &[b""], &[b"header", &body[..9]], &[b"", b"header", &body, b"", &body]];
    for parts in messages {
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        session.send_vectored(&slices).await.unwrap();
        assert!(session.recv().await.unwrap().unwrap() == parts.concat());
    }
    let long = vec![0; 16 * 1024 * 1024];
    let too_long = session.send_vectored(&[IoSlice::new(&long), IoSlice::new(b"1")]).await;
    assert!(matches!(too_long, Err(SessionError::Record(_))));
    // A stream takes what one record carries, wherever it lies.
    let mut stream = session.into_stream();
    assert!(stream.is_write_vectored());
    let parts: [&[u8]; 4] = [b"", b"he", &body[..3], &body];
    let taken = stream.write_vectored(&parts.map(IoSlice::new)).await.unwrap();
    assert_eq!(taken, MAX_RECORD_LEN);
    let mut back = vec![0; taken];
    stream.read_exact(&mut back).await.unwrap();
    assert!(back == parts.concat()[..taken]);
}

/// A send and a receive that were dropped in the middle of a long message, and then the session as a stream.
#[tokio::test]
async fn a_message_torn_is_not_glued_to_a_stream() {
    let (listener, server) = listen(Policy::default()).await;
    let my_key = key();
    let (client, served) =
        tokio::join!(net::connect(listener.local_addr(), &my_key, server), listener.accept());
    let (mut client, mut served) = (client.unwrap(), served.unwrap());
    let long = vec![7; 16 * 1024 * 1024];
    // Nobody reads, and the system's buffers are smaller than that.
    assert!(timeout(Duration::from_millis(50), client.send(&long)).await.is_err());
    assert!(matches!(client.send(b"next").await, Err(SessionError::Interrupted)));
    let mut client = client.into_stream();
    assert!(client.write_all(b"next").await.is_err());
    assert!(client.shutdown().await.is_err(), "an end would say that nothing is missing");
    assert!(timeout(Duration::from_millis(300), served.recv()).await.is_err());
    let mut served = served.into_stream();
    let mut first = vec![0; MAX_RECORD_LEN];
    served.read_exact(&mut first).await.unwrap();
    assert!(first.iter().all(|byte| *byte == 7), "what had been received is still there");
}

#[tokio::test]
async fn keys_are_replaced_under_way() {
    use symbolon_agreement::Rekey;
    let (listener, server) = listen(Policy::default()).await;
    echo(&listener);
    let mut session = net::connect(listener.local_addr(), &key(), server).await.unwrap();
    session.set_rekey(Rekey::after(3, Duration::from_secs(3600)));
    for n in 0..20_u8 {
        session.send(&[n]).await.unwrap();
        assert_eq!(session.recv().await.unwrap().unwrap(), [n]);
    }
}

#[tokio::test]
async fn every_pattern_makes_a_session() {
    let (client_key, server_key) = (key(), key());
    let (me, server) = (*client_key.public_key(), *server_key.public_key());
    let suites: Vec<Suite> = (1..=16).filter_map(Suite::from_number).collect();
    assert_eq!(suites.len(), 16);
    let listener = Listener::bind("127.0.0.1:0", server_key).suites(&suites).initiator(me).await.unwrap();
    let initiator = |pattern| match pattern {
        0 => Initiator::xx(&client_key),
        1 => Initiator::ik(&client_key),
        2 => Initiator::nk(),
        3 => Initiator::xk(&client_key),
        4 => Initiator::kk(&client_key),
        5 => Initiator::nx(),
        6 => Initiator::ix(&client_key),
        _ => Initiator::kx(&client_key),
    };
    for n in 0..8 {
        for classical in [false, true] {
            let mut initiator = initiator(n).expect(server);
            if classical {
                initiator = initiator.classical();
            }
            let connect = Connector::new(initiator).connect(listener.local_addr());
            let (client, served) = tokio::join!(connect, listener.accept());
            let (mut client, mut served) = (client.unwrap(), served.unwrap());
            let suite = client.context().suite();
            assert_eq!(usize::from(suite.number()), 2 * n + 2 - usize::from(classical));
            assert_eq!(served.context().suite(), suite);
            assert_eq!(served.peer().is_some(), !suite.to_string().starts_with("Noise_N"));
            assert_eq!(client.handshake_hash(), served.handshake_hash());
            client.send(b"up").await.unwrap();
            assert_eq!(served.recv().await.unwrap().unwrap(), b"up");
            served.send(b"down").await.unwrap();
            assert_eq!(client.recv().await.unwrap().unwrap(), b"down");
        }
    }
}

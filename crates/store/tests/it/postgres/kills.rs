//! Real processes on one database, killed or stopped at the worst moment: see `crash.rs`.
// proves X2 (PostgreSQL)

use std::process::{Child, Command};
use std::time::Duration;
use std::{env, thread};

use symbolon_store::CommitPoint;

use crate::cluster::{Cluster, cluster};
use crate::crash::{Acknowledged, a_while, kill, listen, prepare, spawn, verify};

async fn prepared(cluster: &Cluster) -> String {
    let (url, store) = cluster.fresh().await;
    prepare(&store.clone().into()).await;
    store.close().await;
    url
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_at_any_commit_point() {
    let Some(cluster) = cluster() else { return };
    let database = prepared(&cluster).await;
    let mut acknowledged = Acknowledged::default();
    for point in CommitPoint::ALL {
        let mut child = spawn(&database, Some(&format!("{point:?} 8")));
        let said = listen(&mut child, |line| line == "stopped");
        kill(child);
        acknowledged.add(&said.join().unwrap());
        verify(&database, &acknowledged).await;
    }
    assert!(!acknowledged.transfers.is_empty() && !acknowledged.reserved.is_empty(), "some work was done");
}

#[tokio::test]
async fn of_two_processes_one_is_killed_and_the_other_goes_on() {
    let Some(cluster) = cluster() else { return };
    let database = prepared(&cluster).await;
    let mut acknowledged = Acknowledged::default();
    let mut survivor = spawn(&database, None);
    let survivor_said = listen(&mut survivor, |_| false);
    let kills = env::var("SYMBOLON_KILLS").map_or(3, |kills| kills.parse().unwrap());
    for _ in 0..kills {
        let mut child = spawn(&database, None);
        let said = listen(&mut child, |_| false);
        thread::sleep(a_while());
        kill(child);
        acknowledged.add(&said.join().unwrap());
    }
    assert!(survivor.try_wait().unwrap().is_none(), "it goes on");
    kill(survivor);
    acknowledged.add(&survivor_said.join().unwrap());
    verify(&database, &acknowledged).await;
    assert!(!acknowledged.transfers.is_empty() && !acknowledged.reserved.is_empty(), "some work was done");
}

#[tokio::test]
async fn a_process_that_slept_through_a_takeover_reserves_nothing_more() {
    let Some(cluster) = cluster() else { return };
    let database = prepared(&cluster).await;
    let mut acknowledged = Acknowledged::default();
    let mut sleeper = spawn(&database, None);
    let sleeper_said = listen(&mut sleeper, |_| false);
    thread::sleep(a_while());
    signal(&sleeper, "-STOP");
    // Whether or not it holds the locks of a transaction: the server ends that after a while.
    let mut other = spawn(&database, None);
    let other_said = listen(&mut other, |_| false);
    thread::sleep(Duration::from_millis(300));
    signal(&sleeper, "-CONT");
    thread::sleep(Duration::from_millis(500));
    kill(sleeper);
    kill(other);
    // No range is given out twice: `add` finds one.
    acknowledged.add(&sleeper_said.join().unwrap());
    acknowledged.add(&other_said.join().unwrap());
    verify(&database, &acknowledged).await;
    assert!(!acknowledged.reserved.is_empty(), "some work was done");
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

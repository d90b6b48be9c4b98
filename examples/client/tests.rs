//! Both programs as processes of their own, over loopback: every command, interrupted, repeated, and refused.

#[path = "../server/main.rs"]
#[expect(dead_code, reason = "its own entry is not this program's")]
mod server;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Which program the process is, and its arguments; without it, `as_a_program` does nothing.
const PROGRAM: &str = "SYMBOLON_EXAMPLE";

/// Not a test: what the tests start.
#[test]
fn as_a_program() {
    let Ok(line) = std::env::var(PROGRAM) else { return };
    let arguments: Vec<std::ffi::OsString> = line.split('\n').map(Into::into).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let status = match line.starts_with("server") {
        true => runtime.block_on(server::program(arguments)),
        false => runtime.block_on(super::program(arguments)),
    };
    // `ExitCode` cannot be asked which it is.
    let statuses = [0_u8, 1, 2].map(|status| (format!("{:?}", std::process::ExitCode::from(status)), status));
    let status = statuses.iter().find(|(shown, _)| *shown == format!("{status:?}")).unwrap().1;
    std::process::exit(status.into());
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["tests::as_a_program", "--exact", "--nocapture", "--quiet"]);
    command.env(PROGRAM, arguments.join("\n")).env("SYMBOLON_PASSPHRASE", "correct horse");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Stage {
    folder: TempDir,
    address: String,
    key: String,
    metrics: String,
    server: Option<Child>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, key, metrics) = ("127.0.0.1:0".into(), String::new(), String::new());
        let mut stage = Self { folder, address, key, metrics, server: None };
        stage.desk(&["provision"]).ok();
        stage.key = fs::read_to_string(stage.path("server/public")).unwrap().trim().to_owned();
        stage.start();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// What the server says over HTTP.
    fn scrape(&self, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(&self.metrics).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    }

    /// Starts the server, at the address that it had.
    fn start(&mut self) {
        let data = self.text("server");
        let scraped = ["--metrics", "127.0.0.1:0", "--log", "warn"];
        let served = [&["server", "--listen", &self.address, "--data", &data][..], &scraped].concat();
        let mut server = program(&served).spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
        let metrics = lines.find_map(|line| Some(line.split_once("metrics at http://")?.1.to_owned()));
        self.metrics = metrics.unwrap_or_default().replace("/metrics", "");
        let address = lines.find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()));
        self.address = address.unwrap_or_else(|| {
            let mut why = String::new();
            server.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            panic!("no server: {why}")
        });
        // Whoever writes to a pipe that nobody reads stops.
        std::thread::spawn(move || lines.for_each(drop));
        self.server = Some(server);
    }

    fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Ends the server as the system does; it ends in order.
    fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
        assert!(server.wait().unwrap().success());
    }

    fn desk(&self, arguments: &[&str]) -> Said {
        Said::of(program(&[&["server"], arguments, &["--data", &self.text("server")]].concat()).output())
    }

    fn client(&self, user: &str, arguments: &[&str]) -> Said {
        Said::of(program(&[&["client"], arguments, &["--data", &self.text(user)]].concat()).output())
    }

    fn register(&self, user: &str) -> Said {
        self.client(user, &["register", user, "--server", &self.address, "--key", &self.key])
    }

    fn enrol(&self, user: &str) -> Said {
        self.desk(&["enrol", user, &self.text(&format!("{user}/enrolment"))])
    }

    /// What an order is called, from what was said when it was sent.
    fn order(&self, from: &str, to: &str, amount: &str) -> String {
        let said = self.client(from, &["send", to, "Two tickets", "--pay", amount]).ok();
        said.lines().find_map(|line| line.strip_prefix("order ")).unwrap().to_owned()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

#[derive(Debug)]
struct Said {
    status: i32,
    out: String,
    error: String,
}

impl Said {
    fn of(output: std::io::Result<Output>) -> Self {
        let Output { status, stdout, stderr } = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: status.code().unwrap(), out: text(stdout), error: text(stderr) }
    }

    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.out
    }

    #[track_caller]
    fn says(self, what: &str) -> String {
        assert!(self.out.contains(what), "{what}: {self:?}");
        self.ok()
    }

    #[track_caller]
    fn fails(self, why: &str) {
        assert_eq!(self.status, 1, "{self:?}");
        assert!(self.error.contains(why), "{why}: {self:?}");
    }
}

// proves X1 X3 A1 T8 T9 T3 T4
#[test]
fn mail_and_approvals_through_a_killed_server() {
    let mut stage = Stage::new();
    for user in ["alice", "bob", "alice"] {
        stage.register(user).says("is registered, epoch 0");
    }
    stage.client("bob", &["send", "nobody", "hello"]).fails("nobody");
    stage.client("alice", &["send", "bob", "first"]).says("sent");
    // Killed, not stopped: what was acknowledged is there, and the client knows what was not.
    stage.kill();
    stage.client("alice", &["send", "bob", "second"]).fails("");
    stage.start();
    stage.client("alice", &["send", "bob", "second"]).says("sent");
    let shown = stage.client("bob", &["receive"]).ok();
    assert_eq!(shown.matches("alice: ").count(), 2, "{shown}");
    assert!(shown.find("first") < shown.find("second"), "{shown}");
    let again = stage.client("bob", &["receive"]).ok();
    assert!(!again.contains("alice"), "{again}");

    let [yes, no] = ["12.34 EUR", "5000 JPY"].map(|amount| stage.order("alice", "bob", amount));
    stage.client("bob", &["approve", &yes, "--yes"]).fails("`client receive`");
    stage.client("bob", &["receive"]).says(&format!("client approve {yes}"));
    stage.client("bob", &["approve"]).says(&no);
    // Nobody is at the terminal: the order still waits.
    stage.client("bob", &["approve", &yes]).fails("still waits");
    stage.client("bob", &["approve", &yes, "--yes"]).says("approved");
    stage.client("bob", &["approve", &no, "--no"]).says("declined");
    stage.client("bob", &["approve", &yes, "--yes"]).fails("no order of this name waits");
    let metrics = stage.scrape("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    for line in
        ["symbolon_requests_total{request=\"deposit\"} 5", "# TYPE symbolon_request_seconds histogram"]
    {
        assert!(metrics.lines().any(|at| at == line), "{line}: {metrics}");
    }
    assert!(stage.scrape("/").starts_with("HTTP/1.1 404"));
    stage.desk(&["status"]).says("store answers in");
    let answers = stage.client("alice", &["receive"]).ok();
    assert!(answers.contains(&format!("bob approved {yes}, and says: bob, from a terminal")), "{answers}");
    assert!(answers.contains(&format!("bob declined {no}")), "{answers}");
    stage.stop();
}

/// Every step of sending and receiving may be the last of its process.
#[test]
fn what_was_interrupted_goes_on() {
    let stage = Stage::new();
    stage.register("alice").ok();
    stage.register("bob").ok();
    // Deposited, and the client died before it could take its copy off.
    stage.client("alice", &["send", "bob", "once"]).ok();
    let sealed = || fs::read_dir(stage.path("bob/mail/done")).unwrap().count();
    stage.client("bob", &["receive"]).says("once");
    assert_eq!(sealed(), 1);
    // Kept, and the client died before it was shown.
    stage.client("alice", &["send", "bob", "twice"]).ok();
    let holder = fs::File::open(stage.path("bob/lock")).unwrap();
    holder.lock().unwrap();
    let mut waiting = program(&["client", "receive", "--data", &stage.text("bob")]).spawn().unwrap();
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    holder.unlock().unwrap();
    let shown = stage.client("bob", &["receive"]).ok();
    assert_eq!(shown.matches("alice: ").count(), 1, "{shown}");
    assert!(fs::read_dir(stage.path("bob/mail/new")).unwrap().next().is_none());
}

#[test]
fn following_shows_what_comes() {
    let mut stage = Stage::new();
    stage.register("alice").ok();
    stage.register("bob").ok();
    let mut bob = program(&["client", "receive", "--follow", "--data", &stage.text("bob")]).spawn().unwrap();
    let mut lines = BufReader::new(bob.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut errors = bob.stderr.take().unwrap();
    let mut hears = |what: &str| {
        if !lines.any(|line| line.contains(what)) {
            let mut why = String::new();
            errors.read_to_string(&mut why).unwrap();
            panic!("{what}: {why}");
        }
    };
    stage.client("alice", &["send", "bob", "one"]).ok();
    hears("alice: one");
    // Through a restart, and beside other commands of the same user.
    stage.kill();
    stage.start();
    stage.client("bob", &["send", "alice", "and you?"]).ok();
    stage.client("alice", &["send", "bob", "two"]).ok();
    hears("alice: two");
    bob.kill().unwrap();
    bob.wait().unwrap();
}

#[test]
fn a_full_mailbox_says_so() {
    let stage = Stage::new();
    stage.register("alice").ok();
    stage.register("bob").ok();
    stage.register("carol").ok();
    tokio::runtime::Runtime::new().unwrap().block_on(fill(&stage));
    // What is refused for good holds up nothing that comes after it.
    stage.client("alice", &["send", "bob", "too much"]).fails("full");
    stage.client("alice", &["send", "carol", "a note"]).says("sent");
    stage.client("alice", &["send", "bob", &"x".repeat(60_000)]).fails("longer");
    assert!(!stage.path("alice/outgoing").exists());
    let shown = stage.client("bob", &["receive"]).ok();
    assert_eq!(shown.matches("alice: ").count(), 256);
    stage.client("alice", &["send", "bob", "once more"]).says("sent");
}

// proves T9
#[test]
fn an_order_that_was_interrupted_is_the_same_order() {
    let stage = Stage::new();
    stage.register("alice").ok();
    stage.register("bob").ok();
    let order = stage.order("alice", "bob", "12.34 EUR");
    tokio::runtime::Runtime::new().unwrap().block_on(interrupted(&stage, &order));
    assert_eq!(stage.order("alice", "bob", "12.34 EUR"), order);
    assert!(!stage.path("alice/outgoing").exists());
    // Of another amount it is another, and what was interrupted is sent as well.
    tokio::runtime::Runtime::new().unwrap().block_on(interrupted(&stage, &order));
    assert_ne!(stage.order("alice", "bob", "12.35 EUR"), order);
    assert!(!stage.path("alice/outgoing").exists());
    assert_ne!(stage.order("alice", "bob", "12.34 EUR"), order);
}

/// As after `client send --pay` was killed before it knew that the server has the order.
async fn interrupted(stage: &Stage, order: &str) {
    use symbolon::envelope::{Expect, open, seal};
    let (alice, client) = alice(stage).await;
    let kept = fs::read(stage.path("alice/orders").join(order)).unwrap();
    let kept = open(&alice.age_key(), Expect::anything(), &kept).unwrap();
    let (to, document) = kept.plaintext().split_at(5);
    assert_eq!(to, [&[0, 3], &b"bob"[..]].concat());
    let content = [b"o", document].concat();
    let table = symbolon::table::Table::new("alice".parse().unwrap(), alice.table_key(), client.directory());
    let letter = table.seal(&"bob".parse().unwrap(), &symbolon::table::pad(&content)).await.unwrap();
    let what = [to, &content].concat();
    let len = u32::try_from(what.len()).unwrap().to_be_bytes();
    let outgoing = [&len, &what[..], &letter].concat();
    fs::write(stage.path("alice/outgoing"), seal(&[alice.public().age_key()], &outgoing).unwrap()).unwrap();
}

async fn alice(stage: &Stage) -> (symbolon::Identity, symbolon::Client) {
    let passphrase = "correct horse".parse().unwrap();
    let alice = symbolon::IdentityFile::at(stage.path("alice/identity")).read_protected(&passphrase).unwrap();
    let key: symbolon::keys::PublicIdentity = stage.key.parse().unwrap();
    let client = symbolon::Client::connect(&stage.address, &alice, *key.noise_key()).await.unwrap();
    client.login("alice".parse().unwrap()).await.unwrap();
    (alice, client)
}

/// As many letters as one sender may leave.
async fn fill(stage: &Stage) {
    let (alice, client) = alice(stage).await;
    let (me, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
    let table = symbolon::table::Table::new(me, alice.table_key(), client.directory());
    for _ in 0..256 {
        client.deposit(&table.seal(&bob, &symbolon::table::pad(b"t")).await.unwrap()).await.unwrap();
    }
}

// proves E1 E5 E8 E9 E13
#[test]
fn documents() {
    let mut stage = Stage::new();
    for user in ["alice", "bob"] {
        stage.register(user).ok();
    }
    let (file, out) = (stage.text("report.txt"), stage.text("out"));
    fs::write(&file, vec![b'r'; 300_000]).unwrap();
    stage.client("alice", &["put", &file]).fails("");
    for user in ["alice", "bob"] {
        stage.enrol(user).says("is enrolled");
        // As after a command that died before it knew.
        stage.enrol(user).says("is enrolled");
    }
    fs::remove_file(stage.path("alice/enrolment")).unwrap();
    stage.register("alice").ok();
    stage.enrol("alice").fails("enrolled already");
    stage.desk(&["enrol", "bob", &stage.text("alice/enrolment")]).fails("alice's");
    let said = stage.client("alice", &["put", &file]).says("report.txt, version 1");
    let record = said.lines().find_map(|line| line.split_once(" report.txt")).unwrap().0.to_owned();
    // As after a command that died before it knew.
    fs::write(stage.path("alice/documents/report.txt"), format!("{record} \n")).unwrap();
    stage.client("alice", &["put", &file]).says("version 2");
    stage.client("bob", &["get", &record, "-o", &out]).fails("");
    assert!(!Path::new(&out).exists());
    stage.client("alice", &["grant", "report.txt", "bob"]).ok();
    stage.client("alice", &["grant", "report.txt", "bob"]).ok();
    stage.kill();
    stage.start();
    stage.desk(&["rotate"]).says("2 user keys, 1 documents");
    stage.client("bob", &["get", &record, "-o", &out]).says("300000 bytes");
    assert_eq!(fs::read(&out).unwrap(), fs::read(&file).unwrap());
    stage.client("alice", &["put", &file]).says("version 4");
    stage.client("alice", &["revoke", &record, "bob"]).ok();
    stage.client("bob", &["get", &record, "-o", &out]).fails("");
    stage.client("alice", &["get", "report.txt", "-o", &out]).says("version 4");
}

// proves L1 L16 L28 L15
#[test]
fn pads_and_the_operators_desk() {
    let mut stage = Stage::new();
    stage.register("alice").ok();
    stage.client("alice", &["balance"]).fails("no pad is here");
    let voucher = stage.text("voucher");
    stage.desk(&["sell", "100", &voucher]).says("100 taken");
    stage.desk(&["sell", "100", &voucher]).ok();
    stage.desk(&["sell", "200", &voucher]).fails("another amount");
    stage.desk(&["worth", &voucher]).says("100");
    stage.desk(&["books"]).says("cash 100\nearned 0");
    // What cannot be bought is not begun.
    stage.client("alice", &["buy", &voucher, "--bytes", "67108865"]).fails("64 MiB");
    let bought = stage.client("alice", &["buy", &voucher, "--bytes", "262144"]).says("worth 100");
    // As after a command that died when the server had sold it: the purchase is all that leads to the money.
    fs::remove_file(stage.path("alice/pad")).unwrap();
    stage.client("alice", &["close"]).fails("a purchase is under way");
    assert_eq!(stage.client("alice", &["buy", &voucher]).says("worth 100"), bought);
    stage.client("alice", &["buy", &voucher]).says("is here already");
    stage.client("alice", &["ask", "sum", "1", "2", "-3", "42"]).says("42\nfee 4, left 96");
    stage.kill();
    stage.client("alice", &["ask", "mean", "10", "20"]).fails("");
    stage.start();
    stage.client("alice", &["ask", "mean", "10", "20"]).says("15\nfee 2, left 94");
    stage.client("alice", &["ask", "product", "9223372036854775807", "2"]).fails("64 bits");
    stage.client("alice", &["balance"]).says("value 94");
    stage.client("alice", &["status", "--json"]).says("\"letters waiting\":0");
    stage.desk(&["check"]).ok();

    // A backup, everything lost, a restore: the pad is halted, and its value comes back.
    let backup = stage.text("backup");
    fs::write(stage.path("server/exchange/pads/half.new"), "no sale").unwrap();
    stage.desk(&["backup", &backup]).ok();
    assert!(!stage.path("backup/exchange/pads/half.new").exists());
    assert!(!stage.path("backup/exchange/in-use").exists());
    stage.desk(&["backup", &backup]).fails("exists");
    stage.stop();
    stage.desk(&["books"]).fails("no server runs");
    stage.desk(&["provision"]).fails("nothing was changed");
    stage.desk(&["restore", "--from", &backup]).fails("nothing was changed");
    fs::remove_dir_all(stage.path("server")).unwrap();
    stage.desk(&["restore", "--from", &backup]).says("restored");
    stage.start();
    stage.client("alice", &["balance"]).fails("");
    let (pad, purchase) = ("alice/pad", "alice/purchase");
    let purchased = fs::read(stage.path(purchase)).unwrap();
    stage.client("alice", &["close"]).says("is closed");
    assert!(!stage.path(pad).exists() && !stage.path(purchase).exists());
    // As after a command that died when the pad was closed, and again one step later.
    fs::write(stage.path(pad), "closed").unwrap();
    stage.client("alice", &["close"]).fails("no pad is here");
    assert!(!stage.path(pad).exists());
    fs::write(stage.path(purchase), purchased).unwrap();
    stage.client("alice", &["close"]).fails("a purchase is under way");
    fs::remove_file(stage.path(purchase)).unwrap();
    fs::write(stage.path(pad), "closed").unwrap();
    stage.desk(&["worth", &voucher]).says("94");
    let again = stage.client("alice", &["buy", &voucher, "--bytes", "65536"]).says("worth 94");
    assert_ne!(bought, again);
    stage.client("alice", &["ask", "sum", "1"]).says("left 93");
}

/// Every step of making a server's folder may be the last of its process.
#[test]
fn a_folder_that_was_interrupted_is_made_again() {
    let mut stage = Stage::new();
    stage.register("alice").ok();
    stage.desk(&["backup", &stage.text("backup")]).ok();
    stage.stop();
    let (server, database) = (stage.path("server"), stage.text("server/exchange.db"));
    let interrupted = |what: &str| {
        fs::rename(server.join("identity"), server.join("identity.new")).unwrap();
        fs::write(server.join("unfinished"), what).unwrap();
    };
    let (provision, restore) = (format!("provision sqlite:{database}"), format!("restore sqlite:{database}"));
    let from = ["restore", "--from", &stage.text("backup")];

    // The database was there, and its guard not yet.
    interrupted(&provision);
    fs::remove_file(format!("{database}-guard")).unwrap();
    stage.desk(&from).fails("another command was interrupted");
    stage.desk(&["provision"]).says("fingerprint");
    assert!(!server.join("unfinished").exists() && !server.join("identity.new").exists());
    // A database that is another's stays another's, however often it is tried.
    for name in ["identity", "public"] {
        fs::remove_file(server.join(name)).unwrap();
    }
    let before = fs::read(&database).unwrap();
    for command in [&["provision"][..], &["provision"], &from, &from] {
        stage.desk(command).fails("nothing is overwritten");
    }
    assert_eq!(fs::read(&database).unwrap(), before);

    fs::remove_dir_all(&server).unwrap();
    stage.desk(&from).says("restored");
    interrupted(&restore);
    fs::write(&database, "half").unwrap();
    stage.desk(&["provision"]).fails("another command was interrupted");
    let user = fs::File::create(format!("{database}-guard")).unwrap();
    user.lock().unwrap();
    stage.desk(&from).fails("in use");
    drop(user);
    stage.desk(&from).says("restored");
    stage.start();
    stage.register("alice").says("is registered");

    let (first, second) = (stage.text("server"), stage.text("second"));
    let join = || {
        let join = ["server", "join", "--from", &first, "--data", &second];
        Said::of(program(&join).output())
    };
    join().says("joined");
    fs::rename(stage.path("second/identity"), stage.path("second/identity.new")).unwrap();
    fs::write(stage.path("second/unfinished"), "join").unwrap();
    join().says("joined");
    join().fails("nothing was changed");
}

#[test]
fn of_two_who_sell_into_one_file_one_waits() {
    let stage = Stage::new();
    let [first, voucher] = ["first", "voucher"].map(|name| stage.text(name));
    stage.desk(&["sell", "200", &first]).says("200 taken");
    let other = fs::File::create(stage.path("server/sale")).unwrap();
    other.lock().unwrap();
    let sell = ["server", "sell", "100", &voucher, "--data", &stage.text("server")];
    let mut waiting = program(&sell).spawn().unwrap();
    stage.desk(&["check"]).ok();
    stage.desk(&["worth", &first]).says("200");
    assert!(waiting.try_wait().unwrap().is_none() && !Path::new(&voucher).exists());
    fs::copy(&first, &voucher).unwrap();
    drop(other);
    Said::of(waiting.wait_with_output()).fails("another amount");
    assert_eq!(fs::read(&first).unwrap(), fs::read(&voucher).unwrap());
    stage.desk(&["books"]).says("cash 200\n");
}

#[test]
fn only_what_passes_is_tried_again() {
    use super::mail::is_passing;
    use symbolon::table::{InboxError, StoreError, TableError};
    for passing in [
        symbolon::ClientError::Closed.into(),
        TableError::Busy.into(),
        InboxError::Store(StoreError::retryable("full")).into(),
    ] {
        assert!(is_passing(&passing), "{passing}");
    }
    for for_good in [
        symbolon::ClientError::Busy.into(),
        TableError::Rejected.into(),
        InboxError::Replay.into(),
        "the settings are damaged".into(),
    ] {
        assert!(!is_passing(&for_good), "{for_good}");
    }
}

#[test]
fn refused_from_the_start() {
    let stage = Stage::new();
    let other = symbolon::Identity::generate(symbolon::keys::Backend::best(), &mut symbolon::keys::OsRng);
    let wrong = other.public().to_string();
    let register = ["register", "alice", "--server", &stage.address, "--key", &wrong];
    stage.client("alice", &register).fails("differs from the pinned one");
    stage.register("alice").fails("another server");
    stage.register("bob").ok();
    // Another folder, another key: the name is taken.
    let taken = ["register", "bob", "--server", &stage.address, "--key", &stage.key];
    stage.client("thief", &taken).fails("registered with other keys");
    let mut wrong = program(&["client", "receive", "--data", &stage.text("bob")]);
    Said::of(wrong.env("SYMBOLON_PASSPHRASE", "battery staple").output()).fails("");
    stage.client("nobody", &["receive"]).fails("register");
    for usage in
        [&["receive", "--sometimes"][..], &["register"], &["ask", "root", "2"], &["approve", "--yes"], &[]]
    {
        assert_eq!(stage.client("bob", usage).status, 2, "{usage:?}");
    }
    for usage in [&["--listen", "here"][..], &["sell"], &["enrol", "Not An Id", "x"]] {
        assert_eq!(stage.desk(usage).status, 2, "{usage:?}");
    }
    // The folder is one process's.
    let second = program(&["server", "--listen", "127.0.0.1:0", "--data", &stage.text("server")]).output();
    Said::of(second).fails("in use");
}

use std::process::{Command as Process, Output, Stdio};

use symbolon::envelope::{Context, Policy, RecordId};

use super::*;

fn call(folder: &Path, line: &str) -> Result<(), String> {
    let place = |word: &str| match word.strip_prefix("./") {
        Some(name) => folder.join(name).to_str().unwrap().to_string(),
        None => word.to_string(),
    };
    let words = ["envelope"].into_iter().chain(line.split_whitespace()).map(place);
    let arguments = Arguments::try_parse_from(words).map_err(|error| format!("usage: {}", error.kind()))?;
    run(arguments.command).map_err(|failure| explain(&*failure))
}

#[test]
fn everyday_use() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let call = |line: &str| call(folder, line);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let document = [7; 200_000];
    std::fs::write(folder.join("plain"), document).unwrap();
    for (key, flags) in [("alice", ""), ("bob", ""), ("carol", "--pq")] {
        call(&format!("keygen {flags} -o ./{key}")).unwrap();
    }
    let recipient = |key: &str| {
        let text = String::from_utf8(read(key)).unwrap();
        text.lines().next().unwrap().strip_prefix("# public key: ").unwrap().to_string()
    };
    assert!(call("keygen -o ./alice").unwrap_err().contains("is there already"));

    for armor in ["", "-a"] {
        call(&format!("seal {armor} -r {} -o ./sealed ./plain", recipient("alice"))).unwrap();
        call("open -i ./bob -i ./alice -o ./opened ./sealed").unwrap();
        assert!(read("opened") == document);
        assert!(call("open -i ./bob -o ./opened ./sealed").unwrap_err().starts_with("no matching key"));
        call(&format!("rewrap -i ./bob -i ./alice -r {} -o ./sealed ./sealed", recipient("carol"))).unwrap();
        assert!(call("open -i ./alice -o ./opened ./sealed").unwrap_err().starts_with("no matching key"));
        call("open -i ./carol -o ./opened ./sealed").unwrap();
        assert!(read("opened") == document);
        call("inspect ./sealed").unwrap();
        call("inspect --json ./sealed").unwrap();
    }

    std::fs::write(folder.join("list"), format!("# both\n{}\n\n{}\n", recipient("alice"), recipient("bob")))
        .unwrap();
    call("seal -R ./list -o ./sealed ./plain").unwrap();
    call("open -i ./bob -o ./opened ./sealed").unwrap();
    let mixed = format!("seal -r {} -r {} -o ./sealed ./plain", recipient("alice"), recipient("carol"));
    assert!(call(&mixed).unwrap_err().contains("cannot be mixed"));

    let mut damaged = read("sealed");
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(folder.join("damaged"), &damaged).unwrap();
    assert!(call("open -i ./bob -o ./never ./damaged").unwrap_err().starts_with("payload"));
    assert!(!folder.join("never").exists());
    damaged[30] ^= 1;
    std::fs::write(folder.join("damaged"), &damaged).unwrap();
    assert!(call("open -i ./bob -o ./never ./damaged").unwrap_err().starts_with("header"));
    let recipient: AgeRecipient = recipient("bob").parse().unwrap();
    let context = Context::of(RecordId::generate(&mut OsRng)).under(Policy::VIEW_ONLY);
    let viewed = Seal::to(&[&recipient]).context(&context).bytes(b"look").unwrap();
    std::fs::write(folder.join("viewed"), viewed).unwrap();
    assert!(call("open -i ./bob -o ./never ./viewed").unwrap_err().starts_with("policy"));
    assert!(!folder.join("never").exists());
    call("open -i ./bob ./viewed").unwrap();
    for usage in ["", "seal ./plain", "open ./sealed", "seal -p -r x ./plain", "rewrap -i ./bob ./sealed"] {
        assert!(call(usage).unwrap_err().starts_with("usage"), "{usage}");
    }
}

/// The arguments of the program, one in a line; without them, `as_a_program` does nothing.
const ARGUMENTS: &str = "SYMBOLON_ENVELOPE_ARGUMENTS";

#[test]
fn as_a_program() {
    let Ok(line) = std::env::var(ARGUMENTS) else { return };
    let arguments = ["envelope"].into_iter().chain(line.split('\n')).map(OsString::from);
    std::process::exit(program(arguments).into());
}

/// Runs the program in `folder`, with `input` on stdin.
fn process(folder: &Path, arguments: &str, passphrase: &str, input: &[u8]) -> Output {
    let mut process = Process::new(std::env::current_exe().unwrap());
    process.args(["tests::as_a_program", "--exact", "--nocapture", "--quiet"]).current_dir(folder);
    process.env(ARGUMENTS, arguments.replace(' ', "\n")).env("SYMBOLON_PASSPHRASE", passphrase);
    let mut child =
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever refuses does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    let mut output = child.wait_with_output().unwrap();
    // What the test harness says before it begins.
    let begins = b"running 1 test\n";
    let start = output.stdout.windows(begins.len()).position(|window| window == begins).unwrap();
    output.stdout.drain(..start.saturating_add(begins.len()));
    output
}

#[test]
fn statuses_and_streams() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let status = |arguments: &str, input: &[u8]| {
        let output = process(folder, arguments, "", input);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap(), output.stdout)
    };
    let (code, _, alice) = status("keygen -o alice", b"");
    assert_eq!(code, 0);
    let alice = String::from_utf8(alice).unwrap();
    assert!(alice.starts_with("age1") && alice.lines().count() == 1, "the recipient, and nothing else");
    assert_eq!(status("keygen -o bob", b"").0, 0);

    let (code, said, sealed) = status(&format!("seal -r {}", alice.trim()), b"document");
    assert_eq!((code, said.as_str()), (0, ""));
    assert_eq!(status("open -i alice", &sealed), (0, String::new(), b"document".to_vec()));
    let mut altered = [sealed.clone(), sealed.clone()];
    *altered[0].last_mut().unwrap() ^= 1;
    let mac = sealed.windows(5).position(|window| window == b"\n--- ").unwrap() + 5;
    altered[1][mac] ^= 1;
    let cases: [(&str, &[u8], &str); 6] = [
        ("open -i bob", &sealed, "no matching key: "),
        ("open -i alice", &altered[0], "payload: "),
        ("open -i alice", &altered[1], "header: "),
        ("open -i alice", b"-----BEGIN AGE ENCRYPTED FILE-----\n", "armor: "),
        ("open -i nobody", &sealed, "nobody: "),
        ("inspect", b"no envelope", "header: "),
    ];
    for (arguments, input, reason) in cases {
        let (code, said, out) = status(arguments, input);
        assert!(code == 1 && out.is_empty(), "{arguments}: {code}");
        assert!(said.starts_with(&format!("envelope: {reason}")), "{arguments}: {said}");
    }
    for usage in ["", "seal", "open", "burn", "seal -r age1x", "rewrap -i alice", "inspect --xml"] {
        let (code, said, out) = status(usage, &sealed);
        assert!(code == 2 && out.is_empty() && said.contains("--help"), "{usage}: {code}");
    }
    assert_eq!(status("--help", b"").0, 0);
}

#[test]
fn passphrases_come_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = process(folder.path(), "seal -p -a", "correct horse", b"document");
    assert!(sealed.status.success() && is_armored(&sealed.stdout));
    let opened = process(folder.path(), "open -p", "correct horse", &sealed.stdout);
    assert_eq!((opened.status.code(), &opened.stdout[..]), (Some(0), &b"document"[..]));
    let refused = process(folder.path(), "open -p", "battery staple", &sealed.stdout);
    assert_eq!((refused.status.code(), &refused.stdout[..]), (Some(1), &b""[..]));
    assert!(refused.stderr.starts_with(b"envelope: no matching key"));
}

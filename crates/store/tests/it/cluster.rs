//! A PostgreSQL server for the tests of this binary, and a database of its own for each.
//!
//! `SYMBOLON_PG_URL` names a server and a role that may create databases. Without it, a private cluster is made in a
//! temporary folder, with the `initdb` of PATH or of the distribution; as root, under the user `postgres` or `nobody`.
//! Without that, tests of PostgreSQL are skipped, or fail if `SYMBOLON_REQUIRE_PG=1`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};

use symbolon_store::{AnyStore, Postgres, PostgresOptions};
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// The folders in which distributions keep the server's programs.
const FOLDERS: [&str; 2] = ["/usr/lib/postgresql", "/opt/homebrew/opt"];

/// A running server: one for all tests that run at the same time.
pub struct Cluster {
    /// With the name of a database after it, its URL.
    url: String,
    own: Option<Own>,
}

/// A private cluster, stopped when the last test that uses it ends.
struct Own {
    programs: PathBuf,
    folder: TempDir,
    user: Option<&'static str>,
}

static CLUSTER: LazyLock<Mutex<Weak<Cluster>>> = LazyLock::new(Mutex::default);
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The server, if there is one.
pub fn cluster() -> Option<Arc<Cluster>> {
    let mut shared = CLUSTER.lock().unwrap();
    if let Some(cluster) = shared.upgrade() {
        return Some(cluster);
    }
    let cluster = Cluster::find().map(Arc::new);
    match &cluster {
        Some(cluster) => *shared = Arc::downgrade(cluster),
        None if env::var_os("SYMBOLON_REQUIRE_PG").is_some_and(|require| require == "1") => {
            panic!("SYMBOLON_REQUIRE_PG is set, and there is no PostgreSQL")
        }
        None => println!("SKIPPED: no PostgreSQL"),
    }
    cluster
}

impl Cluster {
    fn find() -> Option<Self> {
        if let Ok(url) = env::var("SYMBOLON_PG_URL") {
            return Some(Self { url: format!("{}/", url.trim_end_matches('/')), own: None });
        }
        Own::start(&[]).map(|own| Self { url: own.url(), own: Some(own) })
    }

    /// A private one, whatever the environment says, with these lines in its configuration.
    pub fn private(settings: &[&str]) -> Option<Self> {
        cluster()?;
        Own::start(settings).map(|own| Self { url: own.url(), own: Some(own) })
    }

    /// A new database with nothing in it: its URL.
    pub async fn database(&self) -> String {
        let name = format!("symbolon_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::SeqCst));
        self.run(&format!("CREATE DATABASE {name}")).await;
        format!("{}{name}", self.url)
    }

    /// A new database with empty tables.
    pub async fn fresh(&self) -> (String, Postgres) {
        let url = self.database().await;
        let store = PostgresOptions::default().readers(1).provision(&url).await.unwrap();
        (url, store)
    }

    /// Runs statements as an administrator.
    pub async fn run(&self, sql: &str) {
        admin(&format!("{}postgres", self.url)).await.batch_execute(sql).await.unwrap();
    }

    /// Runs one of the server's programs: what it prints.
    #[allow(dead_code, reason = "for the benches, which share this file")]
    pub fn program(&self, name: &str, arguments: &[&str]) -> String {
        self.own.as_ref().unwrap().program(name, arguments)
    }

    /// Starts one of the client programs, which runs until it is killed.
    #[allow(dead_code, reason = "for the tests, which share this file")]
    pub fn spawn(&self, name: &str, arguments: &[&str]) -> std::process::Child {
        let own = self.own.as_ref().unwrap();
        let host = format!("host={} user=postgres application_name=copy", own.folder.path().display());
        let mut command = Command::new(own.programs.join(name));
        command.args(["-d", &host]).args(arguments).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Stops the server as if it had crashed, and promotes what it left: another timeline.
    #[allow(dead_code, reason = "for the tests, which share this file")]
    pub fn fail_over(&self) {
        let own = self.own.as_ref().unwrap();
        own.control(&["stop", "-m", "immediate"]);
        fs::write(own.folder.path().join("data/standby.signal"), "").unwrap();
        own.control(&["start", "-l", &own.path("log")]);
        own.control(&["promote"]);
    }

    /// Stops the server as if it had crashed, and starts it again.
    pub fn crash(&self) {
        let own = self.own.as_ref().unwrap();
        own.control(&["stop", "-m", "immediate"]);
        own.control(&["start", "-l", &own.path("log")]);
    }
}

/// A plain connection to a database.
pub async fn admin(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Own {
    fn start(settings: &[&str]) -> Option<Self> {
        let programs = programs()?;
        let folder = TempDir::new().unwrap();
        let user = is_root().then(|| unprivileged(folder.path())).flatten();
        if is_root() && user.is_none() {
            return None;
        }
        let own = Self { programs, folder, user };
        own.program(
            "initdb",
            &["-D", &own.path("data"), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"],
        );
        let mut lines = vec![
            "listen_addresses = ''".to_owned(),
            format!("unix_socket_directories = '{}'", own.folder.path().display()),
            "max_connections = 300".to_owned(),
            "shared_buffers = 64MB".to_owned(),
        ];
        lines.extend(settings.iter().map(|&line| line.to_owned()));
        let configuration = own.folder.path().join("data/postgresql.conf");
        let old = fs::read_to_string(&configuration).unwrap();
        fs::write(&configuration, format!("{old}\n{}\n", lines.join("\n"))).unwrap();
        own.control(&["start", "-l", &own.path("log")]);
        Some(own)
    }

    fn url(&self) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://postgres@{folder}/")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn control(&self, arguments: &[&str]) {
        let data = self.path("data");
        self.program("pg_ctl", &[&["-D", &data, "-w", "-s"], arguments].concat());
    }

    fn program(&self, name: &str, arguments: &[&str]) -> String {
        let program = self.programs.join(name);
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(program);
                command
            }
        };
        command.current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
        let ran = command.args(arguments).output().unwrap();
        assert!(ran.status.success(), "{name} {arguments:?}");
        String::from_utf8(ran.stdout).unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.control(&["stop", "-m", "immediate"]);
    }
}

fn programs() -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let versions = FOLDERS.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let installed = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let program =
        env::split_paths(&paths).chain(installed).map(|folder| folder.join("initdb")).find(|p| p.exists())?;
    // A link leads to the folder that has all of them.
    Some(fs::canonicalize(program).ok()?.parent()?.to_path_buf())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// Gives the folder to a user under whom a server may run.
fn unprivileged(folder: &Path) -> Option<&'static str> {
    ["postgres", "nobody"].into_iter().find(|user| {
        Command::new("chown").arg(user).arg(folder).status().is_ok_and(|status| status.success())
    })
}

/// Closes a database and attaches it again.
pub async fn reopen(url: &str, store: Postgres) -> Postgres {
    store.close().await;
    PostgresOptions::default().readers(1).attach(url).await.unwrap()
}

/// Fresh databases for a conformance suite, each known by its number: so that it can be attached again.
pub struct Databases {
    cluster: Arc<Cluster>,
    newest: Mutex<String>,
}

impl Databases {
    pub fn new() -> Option<Self> {
        Some(Self { cluster: cluster()?, newest: Mutex::default() })
    }

    pub async fn fresh(&self) -> AnyStore {
        let (url, store) = self.cluster.fresh().await;
        *self.newest.lock().unwrap() = url;
        store.into()
    }

    pub async fn reopen(&self, store: AnyStore) -> AnyStore {
        store.close().await;
        let url = self.newest.lock().unwrap().clone();
        PostgresOptions::default().readers(1).attach(&url).await.unwrap().into()
    }
}

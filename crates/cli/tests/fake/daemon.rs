//! A daemon that answers as told and remembers what it was asked.
#![allow(dead_code, reason = "each test binary uses its part")]
use config::tree::Section;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use vici::{Frames, Message, Packet};

/// What the daemon answers to a command: the events it streams, and the answer.
pub(crate) type Answers = fn(&str, &Section) -> (Vec<(&'static str, Section)>, Section);

pub(crate) struct Daemon {
    directory: TempDir,
    asked: Arc<Mutex<Vec<(String, Section)>>>,
}

impl Daemon {
    pub(crate) fn new(answers: Answers) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("vici")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remember = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let remember = Arc::clone(&remember);
                std::thread::spawn(move || serve(stream, answers, &remember));
            }
        });
        Self { directory, asked }
    }

    pub(crate) fn uri(&self) -> String {
        format!("unix://{}", self.directory.path().join("vici").display())
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `cygnet …`
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        cygnet(words).args(["--uri", &self.uri()]).env("SWANCTL_DIR", self.path()).output().unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<(String, Section)> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn commands(&self) -> Vec<String> {
        self.asked().into_iter().map(|(name, _)| name).collect()
    }

    pub(crate) fn message(&self, command: &str) -> Section {
        self.asked().into_iter().find(|(name, _)| name == command).map(|(_, message)| message).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn serve(mut stream: UnixStream, answers: Answers, remember: &Mutex<Vec<(String, Section)>>) {
    let mut frames = Frames::new();
    let mut buffer = [0; 4096];
    loop {
        while let Some(body) = frames.next_body().unwrap() {
            let out = match Packet::decode(&body).unwrap() {
                Packet::EventRegister(_) | Packet::EventUnregister(_) => vec![Packet::EventConfirm],
                Packet::CmdRequest { name, message } => {
                    let (events, answer) = answers(&name, &message);
                    remember.lock().unwrap().push((name, message));
                    let mut out: Vec<Packet> = events
                        .into_iter()
                        .map(|(name, message)| Packet::Event { name: name.to_owned(), message })
                        .collect();
                    out.push(Packet::CmdResponse(answer));
                    out
                }
                other => panic!("a client does not send {other:?}"),
            };
            for packet in out {
                if stream.write_all(&packet.encode().unwrap()).is_err() {
                    return;
                }
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => frames.push(&buffer[..count]),
        }
    }
}

pub(crate) fn cygnet(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    command.args(words).env("STRONGSWAN_CONF", "/nonexistent").env_remove("CYGNET_URI").stdin(Stdio::null());
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn section(values: &[(&str, &str)]) -> Section {
    let mut section = Section::default();
    for (key, value) in values {
        section.put(key, value);
    }
    section
}

pub(crate) fn within(name: &str, inner: Section) -> Section {
    let mut section = Section::default();
    section.put_section(name, inner);
    section
}

pub(crate) fn success() -> Section {
    section(&[("success", "yes")])
}

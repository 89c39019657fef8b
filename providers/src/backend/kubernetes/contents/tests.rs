//! Commits as values.

use super::*;
use crate::backend::kubernetes::rows::{segments, unpacked};

/// A record with its chunks, as an API server would keep it.
#[derive(Default)]
struct Kept {
    contents: Contents,
    chunks: BTreeMap<String, Vec<u8>>,
    made: u64,
}

impl Kept {
    fn new() -> Self {
        Self {
            contents: Contents::empty(),
            ..Self::default()
        }
    }

    fn commit(&mut self, writes: &[Write]) {
        let mark = Mark {
            version: self.contents.next_version(),
            id: format!("commit {}", self.contents.next_version()),
        };
        let made = &mut self.made;
        let draft = self.contents.draft(mark, writes, || {
            *made += 1;
            format!("chunk-{made}")
        });
        self.chunks.extend(draft.chunks);
        for name in draft.superseded {
            self.chunks.remove(&name).expect("a superseded chunk was there");
        }
        self.contents = draft.contents;
    }

    /// Reads the record from what is kept of it.
    fn read(&self) -> Contents {
        let head = Head::read(&self.contents.head.write()).unwrap();
        let layers = head.layers().iter().map(|layer| {
            let parts = layer.chunks.iter().map(|chunk| {
                let bytes = &self.chunks[&chunk.name];
                assert_eq!(digest(bytes), chunk.sha256);
                assert!(bytes.len() <= CHUNK);
                bytes.clone()
            });
            Arc::new(unpacked(&parts.collect::<Vec<_>>().concat()).unwrap())
        });
        Contents {
            layers: layers.collect(),
            recent: segments(&self.contents.segments).unwrap(),
            segments: self.contents.segments.clone(),
            head,
        }
    }
}

/// Bytes that do not become smaller.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let block = |number: u64| Sha256::digest([seed.to_le_bytes(), number.to_le_bytes()].concat());
    (0..).flat_map(block).take(length).collect()
}

#[test]
fn rows_are_the_same_whether_they_are_in_the_head_or_in_layers() {
    let mut kept = Kept::new();
    let mut expected: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    for number in 0..600_u64 {
        let key = Key::new(format!("object/{:03}", number * 7 % 200));
        if number % 5 == 4 {
            kept.commit(&[Write::delete(key.clone())]);
            expected.remove(&key);
        } else {
            let bytes = noise(number, 700);
            kept.commit(&[Write::put(key.clone(), bytes.clone())]);
            expected.insert(key, bytes);
        }
    }
    for contents in [&kept.contents, &kept.read()] {
        let listed = contents.list(&["object/"]).into_iter();
        let listed: BTreeMap<Key, Vec<u8>> = listed.map(|row| (row.key, row.bytes.into())).collect();
        assert_eq!(listed, expected);
        let key = Key::new("object/001");
        assert_eq!(
            contents.get(&key).map(|row| row.bytes.to_vec()).as_ref(),
            expected.get(&key)
        );
    }
    let needed: Vec<&String> = kept.contents.head.chunks().map(|chunk| &chunk.name).collect();
    assert_eq!(needed.len(), kept.chunks.len(), "no chunk is left over");
    assert!(
        kept.contents.head.layers.len() < 8,
        "{}",
        kept.contents.head.layers.len()
    );
}

#[test]
fn a_row_larger_than_a_secret_is_cut_into_chunks() {
    let mut kept = Kept::new();
    let bytes = noise(1, 3 * CHUNK + 1);
    kept.commit(&[Write::put(Key::new("plan"), bytes.clone())]);
    assert_eq!(kept.chunks.len(), 4);
    assert!(kept.contents.segments.is_empty(), "the head stays small");
    assert_eq!(kept.read().get(&Key::new("plan")).unwrap().bytes, bytes);
    kept.commit(&[Write::delete(Key::new("plan"))]);
    kept.commit(&[Write::put(Key::new("plan"), noise(2, 3 * CHUNK))]);
    assert!(kept.chunks.len() < 6, "the former one is gone");
}

#[test]
fn a_commit_is_recognised_by_its_mark_for_a_while() {
    let mut kept = Kept::new();
    for _ in 0..100 {
        kept.commit(&[]);
    }
    assert_eq!(kept.contents.version_of("commit 100"), Some(Version(100)));
    assert_eq!(kept.contents.version_of("commit 69"), Some(Version(69)));
    assert_eq!(kept.contents.version_of("commit 68"), None);
    assert!(kept.contents.remembers(69) && !kept.contents.remembers(68));
}

#[test]
fn a_head_of_a_newer_format_is_refused() {
    let newer = br#"{ "format": 3, "something": "else" }"#;
    assert!(matches!(
        Head::read(newer),
        Err(BackendError::Newer { found: 3, known: 2 })
    ));
    assert!(matches!(Head::read(b"{}"), Err(BackendError::Unusable { .. })));
}

fn two_holders() -> Leases {
    let lease = |token| simdb_state::backend::Lease {
        token: Token(token),
        beat: 0,
        owner: simdb_state::lock::Owner::this_process("apply", std::time::Duration::from_secs(20)),
    };
    Leases {
        last: Token(4),
        held: vec![lease(3), lease(4)],
    }
}

#[test]
fn a_head_of_the_first_format_is_read_with_the_one_holder_it_may_have() {
    let stored = |held| format!(r#"{{"format":1,"commits":1,"token":3,"held":{held},"marks":[],"layers":[]}}"#);
    let read = |held| Head::read(stored(held).as_bytes()).unwrap();
    assert!(read(true).is_held_by(Token(3)) && !read(true).is_held_by(Token(4)));
    assert!(!read(false).is_held_by(Token(3)));
    let next = read(true).held_by(&two_holders());
    assert_eq!((next.format, next.token()), (FORMAT, Token(4)));
}

#[test]
fn a_head_is_stored_as_it_was() {
    let mut kept = Kept::new();
    kept.commit(&[Write::put(Key::new("a"), noise(1, 40_000))]);
    let leases = two_holders();
    let stored = String::from_utf8(kept.contents.head.held_by(&leases).write()).unwrap();
    let digest = &kept.contents.head.layers[0].chunks[0].sha256;
    let bytes = kept.contents.head.layers[0].chunks[0].bytes;
    assert_eq!(
        stored,
        format!(
            r#"{{"format":2,"commits":1,"token":4,"holders":[3,4],"marks":[{{"version":1,"id":"commit 1"}}],"layers":[{{"chunks":[{{"name":"chunk-1","sha256":"{digest}","bytes":{bytes}}}]}}]}}"#
        )
    );
}

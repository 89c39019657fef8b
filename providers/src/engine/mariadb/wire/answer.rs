//! What comes of a statement: rows of texts, or nothing but success.

use super::packet::{Packets, Reader, WireError, refusal};

/// The bit of the status that says that another answer follows.
const MORE_FOLLOWS: u64 = 1 << 3;

/// More columns than any table has.
const MOST_COLUMNS: u64 = 4096;

/// The rows of an answer; none where the statement only did something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Answer {
    /// The names of its columns.
    pub(in super::super) columns: Vec<String>,
    /// Its rows, with a value for each column; absent where it is null.
    pub(in super::super) rows: Vec<Vec<Option<String>>>,
}

/// Reads the answer to a statement.
pub(super) async fn read(packets: &mut Packets) -> Result<Answer, WireError> {
    let first = packets.receive().await?;
    match first.first() {
        Some(0x00) => return done(&first).map(|()| Answer::default()),
        Some(0xff) => return Err(refusal(&first)),
        Some(0xfb) => return Err(WireError::Malformed("the server asks for a file of this machine")),
        _ => {}
    }
    let count = Reader(&first).length()?;
    let count = count.filter(|count| (1..=MOST_COLUMNS).contains(count));
    let count = count.ok_or(WireError::Malformed("it has no plausible number of columns"))?;
    let mut answer = Answer::default();
    for _ in 0..count {
        answer.columns.push(column(&packets.receive().await?)?);
    }
    if !is_end(&packets.receive().await?) {
        return Err(WireError::Malformed("its columns have no end"));
    }
    loop {
        let packet = packets.receive().await?;
        if is_end(&packet) {
            return ended(&packet).map(|()| answer);
        }
        if packet.first() == Some(&0xff) {
            return Err(refusal(&packet));
        }
        answer.rows.push(row(&packet, answer.columns.len())?);
    }
}

/// Reads the name of a column: the fifth text of its definition.
fn column(packet: &[u8]) -> Result<String, WireError> {
    let mut reader = Reader(packet);
    for _ in 0..4 {
        reader.text()?;
    }
    reader.text()?.ok_or(WireError::Malformed("a column has no name"))
}

fn row(packet: &[u8], columns: usize) -> Result<Vec<Option<String>>, WireError> {
    let mut reader = Reader(packet);
    (0..columns).map(|_| reader.text()).collect()
}

/// A value could begin with the same byte, and its row would be longer.
fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

/// Reads the end of rows.
fn ended(packet: &[u8]) -> Result<(), WireError> {
    let mut reader = Reader(packet);
    reader.bytes(1 + 2)?;
    only(reader.number(2)?)
}

/// Reads success.
fn done(packet: &[u8]) -> Result<(), WireError> {
    let mut reader = Reader(packet);
    reader.byte()?;
    reader.length()?;
    reader.length()?;
    only(reader.number(2)?)
}

fn only(status: u64) -> Result<(), WireError> {
    match status & MORE_FOLLOWS {
        0 => Ok(()),
        _ => Err(WireError::Malformed("another answer follows, and one was asked for")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Reads an answer from bytes, as a server may send them and close the connection.
    async fn read_bytes(bytes: &[u8]) -> Result<Answer, WireError> {
        let (client, mut server) = tokio::io::duplex(bytes.len().max(1));
        server.write_all(bytes).await.unwrap();
        drop(server);
        read(&mut Packets::new(Box::new(client))).await
    }

    fn framed(packets: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (sequence, packet) in packets.iter().enumerate() {
            let [low, high] = u16::try_from(packet.len()).unwrap().to_le_bytes();
            bytes.extend([low, high, 0, u8::try_from(sequence).unwrap()]);
            bytes.extend_from_slice(packet);
        }
        bytes
    }

    const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\x01\0\0\0\xfd\0\0\0\0\0";
    const END: &[u8] = b"\xfe\0\0\x02\0";

    #[tokio::test]
    async fn rows_are_texts_or_null() {
        let bytes = framed(&[b"\x01", COLUMN, END, b"\x02ab", b"\xfb", END]);
        let answer = read_bytes(&bytes).await.unwrap();
        assert_eq!(answer.columns, ["a"]);
        assert_eq!(answer.rows, [[Some("ab".to_owned())], [None]]);
        for cut in 0..bytes.len() {
            assert!(read_bytes(&bytes[..cut]).await.is_err(), "cut off after {cut} bytes");
        }
    }

    #[tokio::test]
    async fn what_no_server_of_ours_sends_is_an_error() {
        let file = framed(&[b"\xfb/etc/passwd"]);
        assert!(matches!(read_bytes(&file).await, Err(WireError::Malformed(_))));
        let two = framed(&[b"\0\0\0\x0a\0\0\0"]);
        assert!(matches!(read_bytes(&two).await, Err(WireError::Malformed(_))));
        let refused = read_bytes(&framed(&[b"\xff\x10\x04#08004Too many connections"])).await;
        let refused = refused.unwrap_err().to_string();
        assert_eq!(refused, "Too many connections (error 1040)");
    }

    proptest! {
        #[test]
        fn no_answer_is_a_panic(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
            let mut bytes = framed(&[b"\x01", COLUMN, END]);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read_bytes(&framed(&packets)));
            bytes.extend(packets.concat());
            let _ = runtime.block_on(read_bytes(&bytes));
        }
    }
}

//! Frames of bytes on a stream, and what they are made of.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use crate::platform::dial::Stream;

/// The length at which a frame is followed by more of the same packet.
const WHOLE_FRAME: usize = 0xff_ff_ff;

/// More than any answer that simdb asks for has.
const MOST_BYTES: usize = 64 << 20;

/// Why a statement came to nothing.
#[derive(Debug, Error)]
pub enum WireError {
    /// The server says no.
    #[error("{message} (error {code})")]
    Refused {
        /// The server's number of the error.
        code: u16,
        /// Its message.
        message: String,
    },
    /// The connection failed.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// What came is not what the protocol has there.
    #[error("read the answer: {0}")]
    Malformed(&'static str),
    /// The server asks for a proof of the password that simdb does not give.
    #[error("the server asks for the password by {0:?}, and simdb proves it by \"mysql_native_password\" alone")]
    Method(String),
    /// The answer is longer than any that simdb asks for.
    #[error("the answer is longer than {MOST_BYTES} bytes")]
    TooLong,
}

/// The frames of one stream.
pub(super) struct Packets {
    stream: BufReader<Box<dyn Stream>>,
    /// The number of the next frame: both sides count, from the request on.
    sequence: u8,
    /// How many bytes were received since the request.
    received: usize,
}

impl Packets {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream: BufReader::new(stream),
            sequence: 0,
            received: 0,
        }
    }

    /// Begins another request.
    pub(super) fn begin(&mut self) {
        self.sequence = 0;
        self.received = 0;
    }

    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let mut rest = payload;
        loop {
            let (frame, more) = rest.split_at(rest.len().min(WHOLE_FRAME));
            let length = u32::try_from(frame.len()).expect("a frame has no more than three bytes of length");
            let [low, middle, high, _] = length.to_le_bytes();
            let mut framed = vec![low, middle, high, self.sequence];
            framed.extend_from_slice(frame);
            self.stream.write_all(&framed).await?;
            self.sequence = self.sequence.wrapping_add(1);
            // A packet that ends with a whole frame is followed by an empty one.
            if frame.len() < WHOLE_FRAME {
                break;
            }
            rest = more;
        }
        Ok(self.stream.flush().await?)
    }

    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, WireError> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header).await?;
            let [low, middle, high, sequence] = header;
            if sequence != self.sequence {
                return Err(WireError::Malformed("a part of it is missing"));
            }
            self.sequence = self.sequence.wrapping_add(1);
            let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
            self.received += length + header.len();
            if self.received > MOST_BYTES {
                return Err(WireError::TooLong);
            }
            // The memory grows with what comes, not with what was announced.
            let read = (&mut self.stream).take(length as u64).read_to_end(&mut payload).await?;
            if read < length {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if length < WHOLE_FRAME {
                return Ok(payload);
            }
        }
    }
}

/// Reads a packet from its front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (bytes, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(WireError::Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.bytes(1)?[0])
    }

    /// Reads a number of so many bytes, the lowest first.
    pub(super) fn number(&mut self, bytes: usize) -> Result<u64, WireError> {
        let bytes = self.bytes(bytes)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Reads up to a zero byte, and past it.
    pub(super) fn terminated(&mut self) -> Result<&'a [u8], WireError> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.bytes(end.ok_or(WireError::Malformed("a text in it has no end"))?)?;
        self.bytes(1)?;
        Ok(text)
    }

    /// Reads a number that says by its first byte how long it is; absent where the value that it would be the length of is null.
    pub(super) fn length(&mut self) -> Result<Option<u64>, WireError> {
        Ok(Some(match self.byte()? {
            0xfb => return Ok(None),
            0xfc => self.number(2)?,
            0xfd => self.number(3)?,
            0xfe => self.number(8)?,
            0xff => return Err(WireError::Malformed("a length in it is none")),
            short => short.into(),
        }))
    }

    /// Reads a text after its length; absent where it is null.
    pub(super) fn text(&mut self) -> Result<Option<String>, WireError> {
        let Some(length) = self.length()? else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| WireError::TooLong)?;
        let text = std::str::from_utf8(self.bytes(length)?);
        let text = text.map_err(|_| WireError::Malformed("a text in it is not UTF-8"))?;
        Ok(Some(text.to_owned()))
    }
}

/// Reads a refusal, whose first byte was seen.
pub(super) fn refusal(packet: &[u8]) -> WireError {
    let mut reader = Reader(packet);
    let code = reader.byte().and_then(|_| reader.number(2)).unwrap_or_default();
    // A server that knows the client's version puts the SQLSTATE in front, after a mark.
    let text = if reader.0.starts_with(b"#") {
        reader.0.get(6..)
    } else {
        Some(reader.0)
    };
    WireError::Refused {
        code: u16::try_from(code).unwrap_or_default(),
        message: String::from_utf8_lossy(text.unwrap_or_default()).into_owned(),
    }
}

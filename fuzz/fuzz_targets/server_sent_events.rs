//! Server-sent events: any chunking of the bytes gives the same events without losing a byte. The passthrough
//! stream writes the same complete events for every chunking, too.
#![no_main]

use bedrock::{ServiceError, sse::Decoder};
use bytes::{Bytes, BytesMut};
use dialects::openai::PassthroughStream;
use libfuzzer_sys::fuzz_target;

fn run(chunks: &[&[u8]]) -> (Vec<Bytes>, Bytes) {
    let mut decoder = Decoder::new(1 << 16);
    let mut chat = PassthroughStream::new("fast");
    let (mut raw, mut out) = (Vec::new(), BytesMut::new());
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Ok(Some(event)) = decoder.next_event() {
            let _ = event.name();
            if let Ok(document) = serde_json::from_slice(&event.data) {
                let _ = ServiceError::from_json(&document);
            }
            chat.event(&event, &mut out);
            raw.push(event.raw);
        }
    }
    (raw, out.freeze())
}

fuzz_target!(|data: &[u8]| {
    let (chunks, bytes) = fuzz::chunks(data);
    let (whole, out) = run(&[bytes]);
    assert_eq!((whole.clone(), out.clone()), run(&chunks));
    assert!(bytes.starts_with(&whole.concat()));
    assert!(
        out.is_empty() || out.ends_with(b"\n"),
        "the last event is complete"
    );
});

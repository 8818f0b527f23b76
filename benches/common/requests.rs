//! The requests of all benchmarks, as text. They have the forms that a graph engine service
//! documents. Each has 300 to 450 bytes, except for one in a thousand, which has many KB. The same
//! seed yields the same requests. This is independent of jobstore, so that other stores can be
//! measured with the same requests.

/// A small generator with a fixed seed (SplitMix64), so that runs are comparable.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The parts of a request. The body is compact JSON.
pub struct Parts {
    pub command: &'static str,
    pub url: &'static str,
    pub body: String,
}

impl Parts {
    /// Returns the record as a list shows it.
    #[allow(dead_code)] // Only the benchmark of other stores builds records itself.
    pub fn to_json(&self) -> String {
        let Self { command, url, body } = self;
        format!(r#"{{"command":"{command}","url":"{url}","body":{body}}}"#)
    }
}

/// Returns the next request. Two of three requests import data, and the others query or compute.
pub fn next(random: &mut Seeded) -> Parts {
    match random.below(1000) {
        0 => edge_batch_delete(random),
        1..=120 => execute_algorithm(random),
        121..=240 => filtered_query(random),
        241..=330 => cypher_query(random),
        _ => import_graph(random),
    }
}

pub fn import_graph(random: &mut Seeded) -> Parts {
    let (bucket, part, day) = (random.below(64), random.below(100_000), random.below(1000));
    let body = format!(
        concat!(
            r#"{{"edgesetPath":"bucket-{0}/demo_movie/edges/{1:03}/part-{2:05}.csv","edgesetFormat":"csv","#,
            r#""vertexsetPath":"bucket-{0}/demo_movie/vertices/{1:03}/","vertexsetFormat":"csv","#,
            r#""schemaPath":"bucket-{0}/demo_movie/schema.xml","logDir":"bucket-{0}/logs","#,
            r#""parallelEdge":{{"action":"override","ignoreLabel":true}}}}"#
        ),
        bucket, day, part
    );
    Parts {
        command: "import_graph",
        url: "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph",
        body,
    }
}

fn execute_algorithm(random: &mut Seeded) -> Parts {
    let body = format!(
        concat!(
            r#"{{"algorithmName":"personalrank","parameters":{{"source":"user_{:06}","alpha":0.{:02},"#,
            r#""convergence":0.00001,"max_iterations":{},"directed":true,"num_thread":{}}},"#,
            r#""obsParameters":{{"outputPath":"bucket-{}/results/rank/"}}}}"#
        ),
        random.below(1_000_000),
        1 + random.below(98),
        random.below(1000),
        1 + random.below(16),
        random.below(64)
    );
    Parts {
        command: "execute_algorithm",
        url: "/ges/v1.0/10001/graphs/movie/action?action_id=execute-algorithm",
        body,
    }
}

fn filtered_query(random: &mut Seeded) -> Parts {
    let body = format!(
        concat!(
            r#"{{"executionMode":"async","filters":[{{"operator":"out","vertex_filter":{{"property_filter":"#,
            r#"{{"leftvalue":{{"property_name":"ChineseTitle"}},"predicate":"=","rightvalue":"#,
            r#"{{"value":"电影 {:05}"}}}}}}}}],"with_path":false,"vertices":["tr_{}","tr_{}"]}}"#
        ),
        random.below(100_000),
        random.below(1_000_000),
        random.below(1_000_000)
    );
    Parts {
        command: "filtered_query",
        url: "/ges/v1.0/10001/graphs/movie/action?action_id=filtered-query",
        body,
    }
}

fn cypher_query(random: &mut Seeded) -> Parts {
    let body = format!(
        concat!(
            r#"{{"statements":[{{"statement":"match (n:movie)<-[r:rate]-(m:user) where n.movieid > {} "#,
            r#"and m.Age = {} return n, count(m) order by n.movieid skip {} limit 10","parameters":{{}},"#,
            r#""resultDataContents":["row"],"includeStats":false,"executionMode":"async"}}]}}"#
        ),
        random.below(100_000),
        random.below(90),
        random.below(10_000)
    );
    Parts {
        command: "execute_cypher_query",
        url: "/ges/v1.0/10001/graphs/movie/action?action_id=execute-cypher-query",
        body,
    }
}

/// Returns a request of a few KB to tens of KB, because its body lists edges one by one.
fn edge_batch_delete(random: &mut Seeded) -> Parts {
    let edges: Vec<String> = (0..100 + random.below(500))
        .map(|_| {
            format!(
                r#"{{"source":"user_{:06}","target":"movie_{:05}"}}"#,
                random.below(1_000_000),
                random.below(100_000)
            )
        })
        .collect();
    Parts {
        command: "edge_batch_delete",
        url: "/ges/v1.0/10001/graphs/movie/edges/action?action_id=batch-delete",
        body: format!(r#"{{"edges":[{}]}}"#, edges.join(",")),
    }
}
